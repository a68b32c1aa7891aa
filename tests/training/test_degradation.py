"""Degraded crops have fewer pixels, less detail or the artifacts of JPEG; without the options nothing is drawn."""

import random

import numpy as np
import pytest
from PIL import Image

from levit.training.degradation import degrade_crop
from levit.training.option_groups import AugmentationOptions

SIZE = (32, 48)  # height and width of the input
BOX = (20.0, 10.0, 220.0, 160.0)


def degrade(image, box=BOX, seed=0, size=SIZE, **probabilities):
    random.seed(seed)
    return degrade_crop(image, box, size, AugmentationOptions(**probabilities))


def roughness(image):
    return float(np.abs(np.diff(np.asarray(image, np.float32), axis=1)).mean())


@pytest.fixture
def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (170, 240, 3), np.uint8))


def test_without_the_options_an_image_is_the_same_and_no_number_is_drawn(noise):
    random.seed(0)
    state = random.getstate()
    image, box = degrade_crop(noise, BOX, SIZE, AugmentationOptions())
    assert image is noise
    assert box == BOX
    assert random.getstate() == state


@pytest.mark.parametrize("option", ["downscale", "blur", "jpeg"])
def test_the_result_is_the_degraded_crop_alone(noise, option):
    image, box = degrade(noise, **{option: 1.0})
    assert image.mode == "RGB"
    assert box == (0, 0, *image.size)
    assert image.width / image.height == pytest.approx(200 / 150, rel=0.1)


def test_a_downscaled_crop_has_30_to_70_percent_of_the_shorter_side_of_the_input(noise):
    sides = {min(degrade(noise, seed=seed, downscale=1.0)[0].size) for seed in range(200)}
    assert min(sides) == round(0.3 * 32)
    assert max(sides) == round(0.7 * 32)


def test_a_crop_is_downscaled_with_aliasing_and_without(noise):
    def gray_level_spread(seed):
        return float(np.asarray(degrade(noise, seed=seed, downscale=1.0)[0], np.float32).std())

    spreads = [gray_level_spread(seed) for seed in range(50)]
    assert max(spreads) > 60  # nearest neighbors of white noise are white noise
    assert min(spreads) < 30


def test_a_small_crop_is_not_enlarged(noise):
    image, _ = degrade(noise, box=(0.0, 0.0, 8.0, 8.0), downscale=1.0)
    assert image.size == (8, 8)


def test_a_downscaled_crop_has_at_least_one_pixel_per_side(noise):
    sizes = [degrade(noise, box=(0.0, 0.0, 240.0, 1.0), seed=seed, downscale=1.0)[0].size for seed in range(20)]
    assert all(min(size) >= 1 for size in sizes)


def test_blur_lowers_the_contrast_of_neighboring_pixels(noise):
    blurred = [degrade(noise, seed=seed, size=(224, 224), blur=1.0)[0] for seed in range(10)]
    crop = noise.crop((20, 10, 220, 160))
    assert all(image.size == crop.size and roughness(image) < roughness(crop) for image in blurred)


def test_jpeg_changes_a_crop_by_no_more_than_its_quality_allows(picture):
    box = (0.0, 0.0, float(picture.width), float(picture.height))
    for seed in range(10):
        image, _ = degrade(picture, box=box, seed=seed, size=(48, 48), jpeg=1.0)
        difference = np.abs(np.asarray(image, np.float32) - np.asarray(picture, np.float32))
        assert 0 < difference.mean() < 30


@pytest.mark.parametrize("option", ["blur", "jpeg"])
def test_blur_and_jpeg_change_the_input_about_as_much_for_large_crops_as_for_small_ones(noise, option):
    """Two crops of the same content, of 100 and of 2,000 pixels."""
    side, changes = 112, []
    for length in (100, 2000):
        crop, change = noise.resize((length, length)), 0.0
        for seed in range(5):
            result, box = degrade(crop, (0.0, 0.0, *map(float, crop.size)), seed, (side, side), **{option: 1.0})
            images = [image.resize((side, side), box=box) for image, box in ((result, box), (crop, None))]
            before, after = (np.asarray(image, np.float32) for image in images)
            change += float(np.abs(after - before).mean())
        changes.append(change)
    assert 0.5 < changes[0] / changes[1] < 2


def test_each_degradation_has_its_own_probability(noise):
    changed = sum(degrade(noise, seed=seed, downscale=0.5)[0].size != (200, 150) for seed in range(400))
    assert 160 < changed < 240
