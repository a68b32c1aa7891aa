"""Preprocessing equals that of transformers bit for bit in float32, for any preprocessor_config.json."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from levit.checkpoints.transformers_configuration import preprocessing_from_config
from levit.images.decoding import read_image
from levit.images.transform import normalize, preprocess

LevitImageProcessorPil = pytest.importorskip("transformers").LevitImageProcessorPil

sides = st.integers(1, 400)
heights_and_widths = st.fixed_dictionaries({"height": st.integers(1, 64), "width": st.integers(1, 64)})
channels = st.tuples(*[st.floats(0.1, 0.9)] * 3)
configurations = st.fixed_dictionaries(
    {
        "do_resize": st.booleans(),
        "size": heights_and_widths | st.fixed_dictionaries({"shortest_edge": st.integers(1, 48)}),
        "resample": st.integers(0, 5),
        "do_center_crop": st.booleans(),
        "crop_size": heights_and_widths,
        "do_rescale": st.booleans(),
        "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 0.5]),
        "do_normalize": st.booleans(),
        "image_mean": channels,
        "image_std": channels,
    }
)


def both(image: Image.Image, config: dict) -> tuple[np.ndarray, np.ndarray]:
    preprocessing = preprocessing_from_config(config, (224, 224))
    actual = normalize(preprocess(read_image(image), preprocessing)[None], preprocessing)
    return actual, LevitImageProcessorPil(**config)(image, return_tensors="np")["pixel_values"]


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@settings(max_examples=150)
@given(sides, sides, configurations)
def test_every_configuration_gives_the_pixels_of_transformers(width, height, config):
    actual, expected = both(noise(width, height), config)
    np.testing.assert_array_equal(actual, expected.astype(np.float32, casting="safe"))


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (640, 480), (225, 223), (1, 37), (100, 99), (256, 257)])
def test_the_defaults_give_the_pixels_of_transformers(size):
    actual, expected = both(noise(*size), {})
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(actual, expected)
