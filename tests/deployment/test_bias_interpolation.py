"""A checkpoint that is adapted to another image size computes the same as the torch network at that size."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import levit
from levit.deployment import bias_interpolation
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.deployment.reference import run_reference
from levit.errors import ConfigError
from levit.model import attention_bias
from tests.conftest import random_checkpoint, relative
from tests.runtime.small_model import SMALL


@pytest.mark.parametrize("size", [(32, 32), (64, 48), (47, 95), (80, 80), (128, 16)])
def test_logits_equal_those_of_the_torch_network(tmp_path, size):
    checkpoint = random_checkpoint(SMALL)
    network = levit.load_checkpoint(checkpoint).eval()
    resized = resize_checkpoint(checkpoint, size)
    batch = np.random.default_rng(0).standard_normal((2, 3, *size), np.float32)
    with torch.inference_mode():
        expected = network(pixel_values=torch.from_numpy(batch)).logits.numpy()
    assert relative(run_reference(resized.weights, resized.architecture, batch)["logits"], expected) < 1e-5


@pytest.mark.parametrize(("trained", "grid"), [((1, 1), (3, 2)), ((4, 3), (1, 1)), ((5, 7), (7, 5)), ((2, 2), (2, 2))])
def test_biases_are_interpolated_as_in_the_torch_network(trained, grid):
    biases = np.random.default_rng(0).standard_normal((3, trained[0] * trained[1]), np.float32)
    expected = attention_bias.resize_attention_biases(torch.from_numpy(biases), trained, grid).numpy()
    np.testing.assert_allclose(bias_interpolation.resize_attention_biases(biases, trained, grid), expected, atol=1e-6)


def test_preprocessing_keeps_the_ratio_of_crop_to_resized_image():
    checkpoint = random_checkpoint(SMALL)
    before = checkpoint.preprocessing
    after = resize_checkpoint(checkpoint, (64, 64)).preprocessing
    assert after.crop == (64, 64)
    assert after.resize == int(before.resize * 64 / before.crop[0])
    assert resize_checkpoint(checkpoint, (64, 48)).preprocessing.resize == (64, 48)
    assert resize_checkpoint(checkpoint, SMALL.image_height_width) is checkpoint


@pytest.mark.parametrize(
    ("before", "size", "after"),
    [
        (((40, 48), (32, 32)), (64, 64), ((80, 96), (64, 64))),
        (((40, 48), (32, 32)), (64, 48), ((80, 72), (64, 48))),
        (((32, 32), None), (64, 48), ((64, 48), None)),
        ((None, (32, 32)), (64, 48), (None, (64, 48))),
        ((40, (32, 32)), (64, 64), (80, (64, 64))),
        ((40, (32, 32)), (64, 48), ((64, 48), (64, 48))),
    ],
)
def test_each_step_of_the_preprocessing_is_scaled_or_stays_omitted(before, size, after):
    checkpoint = random_checkpoint(SMALL)
    changed = replace(checkpoint.preprocessing, resize=before[0], crop=before[1])
    preprocessing = resize_checkpoint(replace(checkpoint, preprocessing=changed), size).preprocessing
    assert (preprocessing.resize, preprocessing.crop) == after


def test_an_image_size_of_zero_is_an_error():
    with pytest.raises(ConfigError, match="image_size: 0 is not"):
        resize_checkpoint(random_checkpoint(SMALL), (0, 64))
