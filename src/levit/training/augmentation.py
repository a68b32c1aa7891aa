"""Augmentation: an image file to pixels, as a function of the seed and the sample index."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from timm.data import create_transform
from timm.data.auto_augment import posterize
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor

from levit.errors import ConfigError
from levit.images.decoding import ImageSource, read_image, read_reduced_image
from levit.images.resizing import Box, resize_box
from levit.images.transform import normalize, read_and_preprocess
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing
from levit.training.degradation import degrade_crop
from levit.training.determinism import derive_seed
from levit.training.option_groups import AugmentationOptions
from levit.training.sampler import SampleIndex

_ASPECT_RATIOS = (3 / 4, 4 / 3)  # of resized crops
_PADDING_DIVISOR = 8  # a padded crop is shifted by at most height / 8 and width / 8

# Unsharp masks: standard deviation of the blur in pixels, and strength in percent.
_SHARPEN_RADIUS, _SHARPEN_PERCENT = (0.5, 2.0), (50, 250)

# A JPEG file is decoded at the smallest scale at which the smallest square crop still has this many times the pixels of
# the output along a side: decoding is faster, and every crop is still resized to fewer pixels.
_MIN_OVERSAMPLING = 2


class Augmentation:
    """Random crop, its degradation, flip, color policy and erasing of timm, reproducible for each sample.

    Args:
        options: the augmentation.
        preprocessing: mean and standard deviation of the network.
        size: height and width of the result in pixels.
        seed: seed of the run.

    Raises:
        ConfigError: timm has no such policy.
    """

    def __init__(self, options: AugmentationOptions, preprocessing: Preprocessing, size: Grid, *, seed: int) -> None:
        self._options, self._preprocessing, self._size, self._seed = options, preprocessing, size, seed
        self._color_policy = _build_color_policy(options, size)
        self._erase = RandomErasing(options.erase, mode="pixel", device="cpu")

    def __call__(self, source: ImageSource, sample: SampleIndex) -> Tensor:
        """Augment and normalize an image.

        All three generators that transforms draw from are seeded, so that the result does not depend on earlier calls.
        They are those of a worker process; without workers, each training step seeds them again.

        Returns:
            float32 [3, height, width].

        Raises:
            ImageError: the image cannot be decoded.
        """
        seed = derive_seed(self._seed, "image", *sample)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # timm draws from this global generator
        # The generator of the CPU only: torch.manual_seed takes a millisecond for those of other devices.
        torch.default_generator.manual_seed(seed)
        image = self._padded_crop(source) if self._options.crop == "padded" else self._resized_crop(source)
        if random.random() < self._options.flip:  # noqa: S311
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self._options.sharpen and random.random() < self._options.sharpen:  # noqa: S311
            image = image.filter(_draw_unsharp_mask())
        pixels = normalize(np.asarray(self._color_policy(image))[None], self._preprocessing)[0]
        result: Tensor = self._erase(torch.from_numpy(pixels))
        return result

    def _resized_crop(self, source: ImageSource) -> Image.Image:
        """Random part of the image with a random aspect ratio, resized (Szegedy et al., arXiv 1409.4842)."""
        scale = (self._options.min_crop, 1.0)
        min_side = int(_MIN_OVERSAMPLING * max(self._size) / self._options.min_crop**0.5)
        image, _ = read_reduced_image(source, min_side)
        top, left, height, width = RandomResizedCropAndInterpolation.get_params(image, scale, _ASPECT_RATIOS)
        box = (float(left), float(top), float(left + width), float(top + height))
        return self._resize(image, box)

    def _padded_crop(self, source: ImageSource) -> Image.Image:
        """Whole image, resized and randomly shifted; the border is filled by reflection."""
        image = read_image(source)
        box = (0.0, 0.0, float(image.width), float(image.height))
        pixels = np.asarray(self._resize(image, box))
        rows, columns = (side // _PADDING_DIVISOR for side in self._size)
        padded = np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="reflect")
        top, left = random.randint(0, 2 * rows), random.randint(0, 2 * columns)  # noqa: S311
        height, width = self._size
        return Image.fromarray(padded[top : top + height, left : left + width])

    def _resize(self, image: Image.Image, box: Box) -> Image.Image:
        """Part of an image, degraded, in the size of the network's input."""
        image, box = degrade_crop(image, box, self._size, self._options)
        return resize_box(image, self._size[::-1], Image.Resampling.BICUBIC, box)


class EvaluationTransform:
    """Preprocessing of validation images: that of prediction, bit for bit as Pillow.

    Args:
        preprocessing: the preprocessing of the network.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing

    def __call__(self, source: ImageSource, sample: SampleIndex) -> Tensor:
        """Preprocess and normalize an image; the sample index has no influence.

        Returns:
            float32 [3, height, width].

        Raises:
            ImageError: the image cannot be decoded.
        """
        pixels = read_and_preprocess(source, self._preprocessing, exact=True)
        return torch.from_numpy(normalize(pixels[None], self._preprocessing)[0])


def _draw_unsharp_mask() -> ImageFilter.UnsharpMask:
    radius, percent = random.uniform(*_SHARPEN_RADIUS), random.randint(*_SHARPEN_PERCENT)  # noqa: S311
    return ImageFilter.UnsharpMask(radius, percent, threshold=0)


def _build_color_policy(options: AugmentationOptions, size: Grid) -> Any:
    """Transform of timm for a cropped image: color jitter, or a policy, which may include geometric operations."""
    policy = None if options.auto_augment == "none" else options.auto_augment
    try:
        _, transform, _ = create_transform(
            input_size=(3, *size),
            is_training=True,
            color_jitter=options.color_jitter or None,  # timm uses it beside the policy 3a only
            auto_augment=policy,
            interpolation="bicubic",
            separate=True,
        )
    except (AssertionError, ValueError) as error:
        reason = f"is {policy!r}, which is not a policy of timm"
        raise ConfigError(reason, source="auto_augment", hint="use rand-m9-mstd0.5-inc1") from error
    for operation in _policy_operations(transform):
        if operation.aug_fn is posterize:  # newer releases of Pillow refuse to posterize to 0 bits
            operation.aug_fn = _posterize
    return transform


def _policy_operations(transform: Any) -> list[Any]:
    """The operations of timm's policies in a transform."""
    operations: list[Any] = []
    for policy in getattr(transform, "transforms", ()):
        for group in getattr(policy, "policy", None) or [getattr(policy, "ops", [])]:
            operations.extend(group)
    return [operation for operation in operations if hasattr(operation, "aug_fn")]


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    return posterize(image, max(1, bits))
