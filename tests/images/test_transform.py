"""Exact preprocessing equals the reference; resizing, cropping and normalization follow their specification."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from levit.images.decoding import read_image
from levit.images.transform import _resize_center, normalize, preprocess, resized_size
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from tests.conftest import GOLDEN

DEFAULT = Preprocessing.for_image_size((224, 224))

OPAQUE = ["edge_1bit.png", "edge_300x1.png", "edge_cmyk.jpg", "edge_exact224.png", "edge_exif6.jpg"]
TRANSPARENT = ["edge_la.png", "edge_palette.png", "edge_rgba.png"]
PHOTOGRAPHS = ["portrait", "landscape", "landscape_odd", "strip", "gray", "tiny", "exif6"]


def reference(folder: Path, name: str, key: str) -> np.ndarray:
    """Output of `LevitImageProcessorPil` for an image: float16 [3, 224, 224]."""
    with np.load(folder / f"{name}.npz") as arrays:
        return arrays[key]


def assert_equals_reference(image: Path, expected: np.ndarray) -> None:
    pixels = preprocess(read_image(image), DEFAULT)
    mean, std = (np.array(channels)[:, None, None] for channels in (IMAGENET_MEAN, IMAGENET_STD))
    levels = np.rint((expected.astype(np.float64) * std + mean) * 255).astype(np.uint8)
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), levels)
    np.testing.assert_array_equal(normalize(pixels[None], DEFAULT)[0].astype(np.float16), expected)


@pytest.mark.parametrize("file", OPAQUE)
def test_unusual_images_equal_the_reference_bit_for_bit(file):
    folder = GOLDEN / "preprocess"
    assert_equals_reference(folder / "images" / file, reference(folder, file.partition(".")[0], "transformers_pil"))


@pytest.mark.parametrize("file", TRANSPARENT)
def test_transparent_images_equal_the_reference_that_blends_them_with_white(file):
    folder = GOLDEN / "preprocess"
    expected = reference(folder, file.partition(".")[0], "transformers_pil_convert_rgb")
    assert_equals_reference(folder / "images" / file, expected)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_equal_the_reference_bit_for_bit(shared_golden, name):
    folder = shared_golden / "preprocess"
    assert_equals_reference(folder / "images" / f"{name}.jpg", reference(folder, name, "transformers_pil"))


def test_sixteen_bit_gray_differs_from_the_reference_that_clips_it():
    clipped = reference(GOLDEN / "preprocess", "edge_gray16", "transformers_pil")
    image = read_image(GOLDEN / "preprocess" / "images" / "edge_gray16.png")
    assert np.abs(normalize(preprocess(image, DEFAULT)[None], DEFAULT)[0] - clipped).max() > 1


@pytest.mark.parametrize(("height", "width"), [(480, 640), (640, 480), (100, 100), (1, 300), (99, 100)])
def test_the_shorter_side_is_exact_and_the_longer_side_rounded_down(height, width):
    short, long = min(height, width), max(height, width)
    expected = (256, 256 * long // short)
    assert resized_size(height, width, 256) == (expected if height <= width else expected[::-1])
    assert resized_size(height, width, (20, 30)) == (20, 30)


def test_without_resizing_the_center_is_cropped():
    array = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    pixels = preprocess(Image.fromarray(array), Preprocessing(resize=None, crop=(3, 4)))
    np.testing.assert_array_equal(pixels, array[1:4, 2:6])


def test_without_resizing_and_crop_the_image_is_unchanged():
    array = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    np.testing.assert_array_equal(preprocess(Image.fromarray(array), Preprocessing(resize=None, crop=None)), array)


def test_an_exact_size_is_height_and_width():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8))
    pixels = preprocess(image, Preprocessing(resize=(20, 30), crop=None))
    np.testing.assert_array_equal(pixels, np.asarray(image.resize((30, 20), Image.Resampling.BICUBIC)))


def test_a_crop_larger_than_the_image_is_padded_with_zeros():
    pixels = preprocess(Image.new("RGB", (4, 3), (9, 9, 9)), Preprocessing(resize=None, crop=(6, 6)))
    expected = np.zeros((6, 6, 3), np.uint8)
    expected[2:5, 1:5] = 9  # where the surplus is odd the wider border comes first, as in transformers
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("size", [(1_000_000, 1), (1, 1_000_000)])
def test_an_image_of_a_million_by_one_pixels_needs_little_memory(size):
    line = np.linspace(0, 255, 1_000_000).astype(np.uint8).reshape(size[1], size[0], 1)
    pixels = preprocess(read_image(np.repeat(line, 3, axis=2)), DEFAULT)  # resized as a whole: 65 gigapixels
    np.testing.assert_array_equal(pixels, np.full((224, 224, 3), 127, np.uint8))


@pytest.mark.parametrize("filter_", [Image.Resampling.BICUBIC, Image.Resampling.BILINEAR])
@pytest.mark.parametrize("size", [(12, 500), (500, 12), (40, 30), (301, 299), (20, 21)])
@pytest.mark.parametrize("crop", [(224, 224), (50, 301)])
def test_resizing_the_center_equals_the_center_of_the_resized_image(size, crop, filter_):
    # Low contrast, because Pillow clips overshoots between its passes, whose order depends on the size.
    image = Image.fromarray(np.random.default_rng(1).integers(80, 176, (size[1], size[0], 3), np.uint8))
    scale = 256 / min(size)
    whole = image.resize((int(size[0] * scale), int(size[1] * scale)), filter_)
    left, top = (max(whole.size[axis] - crop[axis], 0) // 2 for axis in (0, 1))
    kept = [min(whole.size[axis], crop[axis]) for axis in (0, 1)]
    expected = np.asarray(whole.crop((left, top, left + kept[0], top + kept[1])), np.int16)
    actual = np.asarray(_resize_center(image, whole.size, crop, filter_), np.int16)
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= 1


def test_the_steps_of_normalization_are_optional():
    pixels = np.array([[[[0, 51, 255]]]], np.uint8)
    size: dict = {"resize": None, "crop": (1, 1)}

    def result(**steps) -> list[float]:
        return normalize(pixels, Preprocessing(**size, **steps)).ravel().tolist()

    assert result(rescale=None, mean=None, std=None) == [0, 51, 255]
    assert result(rescale=None, mean=(1, 1, 5), std=(1, 2, 10)) == [-1, 25, 25]
    assert result(mean=None, std=None) == pytest.approx([0, 0.2, 1])


def test_each_channel_is_normalized_and_channels_come_first():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    normalized = normalize(pixels, DEFAULT)
    assert normalized.dtype == np.float32
    assert normalized.flags.c_contiguous
    expected = (pixels / 255 - IMAGENET_MEAN) / IMAGENET_STD
    np.testing.assert_allclose(normalized, expected.transpose(0, 3, 1, 2), atol=1e-6)
