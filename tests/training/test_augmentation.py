"""Augmentation is a function of the seed and the sample index; validation images are those of prediction."""

import io
import random

import numpy as np
import pytest
import torch
from PIL import Image

import levit
from levit.errors import ConfigError, ImageError
from levit.images.transform import normalize, read_and_preprocess
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from levit.training.augmentation import Augmentation, EvaluationTransform
from levit.training.option_groups import AugmentationOptions
from levit.training.sampler import SampleIndex

PREPROCESSING = Preprocessing.for_image_size((32, 32))
FIRST = SampleIndex(0, 0, 0)
EVERYTHING = {"auto_augment": "rand-m9-mstd0.5-inc1", "erase": 1.0, "downscale": 1.0, "blur": 1.0, "jpeg": 1.0}
NOTHING = {"flip": 0.0, "color_jitter": 0.0}


def build(*, size=(32, 32), preprocessing=PREPROCESSING, seed=0, **values):
    return Augmentation(AugmentationOptions(**values), preprocessing, size, seed=seed)


def gray_levels(pixels):
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels * std + mean) * 255


def resized(picture, size):
    """An image of the output size, which a padded crop does not resize."""
    return picture.resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.mark.parametrize("crop", ["resized", "padded"])
@pytest.mark.parametrize("values", [{}, EVERYTHING])
def test_the_same_sample_has_the_same_bits_in_any_state_of_the_generators(picture, crop, values):
    augmentation = build(crop=crop, **values)
    results = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        results.append(augmentation(picture, SampleIndex(3, 5, 1)))
        augmentation(picture, SampleIndex(4, 6, 0))
    assert torch.equal(*results)
    assert torch.equal(build(crop=crop, **values)(picture, SampleIndex(3, 5, 1)), results[0])


def test_each_epoch_image_repeat_and_seed_has_its_own_pixels(picture):
    samples = [SampleIndex(0, 0, 0), SampleIndex(1, 0, 0), SampleIndex(0, 1, 0), SampleIndex(0, 0, 1)]
    results = [build()(picture, sample) for sample in samples]
    results.append(build(seed=1)(picture, FIRST))
    for index, result in enumerate(results):
        assert all(not torch.equal(result, other) for other in results[:index])


@pytest.mark.parametrize("crop", ["resized", "padded"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_the_result_is_normalized_and_has_the_requested_size(picture, crop, size):
    pixels = build(crop=crop, size=size)(picture, FIRST)
    assert (pixels.dtype, pixels.shape) == (torch.float32, (3, *size))
    levels = gray_levels(pixels)
    assert -0.01 <= levels.min() < levels.max() <= 255.01
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


def test_mean_and_standard_deviation_are_those_of_the_model(picture):
    half = Preprocessing(resize=36, crop=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3)
    imagenet, other = (build(preprocessing=chosen)(picture, FIRST) for chosen in (PREPROCESSING, half))
    torch.testing.assert_close((other * 0.25 + 0.5) * 255, gray_levels(imagenet), atol=1e-3, rtol=0)


def test_a_padded_crop_is_the_shifted_image_and_nothing_else(picture):
    image = resized(picture, (32, 32))
    pixels = np.asarray(image)
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    all_shifts = set()
    for number in range(20):
        result = gray_levels(build(crop="padded", **NOTHING)(image, SampleIndex(0, number, 0)))
        levels = result.round().permute(1, 2, 0).numpy()
        shifts = [
            (top, left)
            for top in range(9)
            for left in range(9)
            if np.array_equal(padded[top : top + 32, left : left + 32], levels)
        ]
        assert len(shifts) == 1
        all_shifts.update(shifts)
    assert len(all_shifts) > 10


def test_an_image_is_flipped_with_the_given_probability(picture):
    values = {**NOTHING, "min_crop": 1.0}
    never, always, sometimes = (build(**values | {"flip": probability}) for probability in (0.0, 1.0, 0.5))
    flipped = 0
    for number in range(20):
        sample = SampleIndex(0, number, 0)
        plain = never(picture, sample)
        assert torch.equal(always(picture, sample), plain.flip(-1))
        result = sometimes(picture, sample)
        assert torch.equal(result, plain) or torch.equal(result, plain.flip(-1))
        flipped += torch.equal(result, plain.flip(-1))
    assert 0 < flipped < 20


def test_a_smallest_crop_of_the_whole_area_keeps_the_whole_image(picture):
    square = resized(picture, (40, 40))
    augmentation = build(**NOTHING, min_crop=1.0)
    results = [augmentation(square, SampleIndex(0, number, 0)) for number in range(20)]
    levels = np.asarray(square.resize((32, 32), Image.Resampling.BICUBIC))
    plain = torch.from_numpy(normalize(levels[None], PREPROCESSING)[0])
    assert any((result - plain).abs().mean() < 0.02 for result in results)  # the others have other aspect ratios


def test_color_jitter_is_not_used_with_a_policy(picture):
    """As in timm, and in the paper's recipe, which gives both."""

    def augmented(**values):
        return build(**values)(picture, FIRST)

    policy = {"auto_augment": "rand-m9-n1", "flip": 0.0}
    assert torch.equal(augmented(**policy, color_jitter=0.9), augmented(**policy, color_jitter=0.0))
    assert not torch.equal(augmented(color_jitter=0.9), augmented(color_jitter=0.0))


def test_erasing_changes_one_rectangle(picture):
    plain, erased = (build(**NOTHING, erase=probability)(picture, FIRST) for probability in (0.0, 1.0))
    changed = (plain != erased).any(dim=0)
    rows, columns = (torch.nonzero(changed.any(dim=axis)).flatten() for axis in (1, 0))
    inside = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert 0 < inside.sum() < changed.numel()
    assert inside.float().mean() > 0.95


@pytest.mark.parametrize("policy", ["rand-m9-mstd0.5-inc1", "rand-m10-inc1", "original", "augmix-m3", "v0"])
def test_every_policy_accepts_many_images(picture, policy):
    """Pillow refuses to posterize to 0 bits, which m10 always and m9-mstd0.5 sometimes requests."""
    augmentation = build(auto_augment=policy)
    for number in range(60):
        assert augmentation(picture, SampleIndex(0, number, 0)).isfinite().all()


@pytest.mark.parametrize("policy", ["posterize-everything", "rand-x9"])
def test_an_unknown_policy_is_an_error_that_names_the_parameter(policy):
    with pytest.raises(ConfigError, match=r"^auto_augment is .*rand-m9-mstd0\.5-inc1") as caught:
        build(auto_augment=policy)
    assert caught.value.source == "auto_augment"


def test_a_jpeg_file_decoded_at_reduced_size_gives_nearly_the_same_pixels(picture):
    stream = io.BytesIO()
    picture.resize((1600, 1200), Image.Resampling.BICUBIC).save(stream, "JPEG", quality=95)
    augmentation = build(**NOTHING, min_crop=0.5)
    for number in range(4):
        sample = SampleIndex(0, number, 0)
        reduced = augmentation(stream.getvalue(), sample)
        whole = augmentation(Image.open(io.BytesIO(stream.getvalue())), sample)
        assert (gray_levels(reduced) - gray_levels(whole)).abs().mean() < 4


def test_a_source_that_is_not_an_image_is_an_image_error():
    for crop in ("resized", "padded"):
        with pytest.raises(ImageError):
            build(crop=crop)(b"no image", FIRST)
    with pytest.raises(ImageError):
        EvaluationTransform(PREPROCESSING)(b"no image", FIRST)


@pytest.mark.parametrize(
    "preprocessing",
    [PREPROCESSING, Preprocessing(resize=(32, 40), crop=None, resample=2, mean=(0.5,) * 3, std=(0.5,) * 3)],
)
def test_validation_images_are_those_of_prediction_bit_for_bit(picture, preprocessing):
    result = EvaluationTransform(preprocessing)(picture, FIRST)
    expected = normalize(read_and_preprocess(picture, preprocessing, exact=True)[None], preprocessing)[0]
    np.testing.assert_array_equal(result.numpy(), expected)


def test_validation_images_are_those_of_the_image_processor_of_the_checkpoint(checkpoint, picture):
    processor = levit.LevitImageProcessor.from_pretrained(checkpoint)
    preprocessing = levit.read_checkpoint(str(checkpoint)).preprocessing
    expected = processor(picture, return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(EvaluationTransform(preprocessing)(picture, FIRST).numpy(), expected)


def test_sharpening_strengthens_the_edges_of_an_enlarged_image(picture):
    small = picture.resize((12, 12), Image.Resampling.BICUBIC)

    def strength(probability, seed):
        gray = gray_levels(build(sharpen=probability, seed=seed, min_crop=1.0, **NOTHING)(small, FIRST))
        return float((gray[..., 1:] - gray[..., :-1]).abs().mean())

    for seed in range(5):
        assert strength(1.0, seed) > 1.05 * strength(0.0, seed)
