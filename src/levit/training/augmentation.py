"""An image as it is stored -> pixels for one epoch, as a function of the seed, the epoch and the image."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from timm.data.auto_augment import posterize
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import RandomResizedCropAndInterpolation
from torch import Tensor

from levit.errors import ConfigError
from levit.images.decoding import ImageSource, read_image, read_reduced_image
from levit.images.resizing import resize_box
from levit.images.transform import normalize, read_and_preprocess
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing
from levit.training.determinism import derive_seed
from levit.training.options import TrainingOptions
from levit.training.sampler import SampleIndex

_PADDING = 8  # a padded crop is shifted by at most the size divided by this
_ENOUGH = 2  # a reduced image has so many times the pixels, along a side, that the smallest crop is resized to


class Augmentation:
    """timm's augmentation, repeatable, on crops that are resized with the processor's vector instructions.

    Args:
        options: what is done.
        preprocessing: mean and standard deviation; and what becomes of an image that is not augmented.
        size: height and width of the result.

    Raises:
        ConfigError: timm knows no such policy.
    """

    def __init__(self, options: TrainingOptions, preprocessing: Preprocessing, size: Grid) -> None:
        self._seed, self._size, self._crop = options.run.seed, size, options.augmentation.crop
        self._scale, self._flip = (options.augmentation.min_crop, 1.0), options.augmentation.flip
        self._colors = _colors(options, size)
        self._erase = RandomErasing(options.augmentation.erase, mode="pixel", device="cpu")
        self._preprocessing = preprocessing

    def __call__(self, source: ImageSource, request: SampleIndex) -> Tensor:
        """float32 [3, height, width], normalized.

        All three generators that transforms draw from are seeded, so that what they gave before does not matter. They
        belong to the process that prepares images, or, without such, to a step that seeds them again.

        Raises:
            ImageError: the image cannot be decoded.
        """
        seed = derive_seed(self._seed, "image", *request)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # the generator that timm draws from
        torch.default_generator.manual_seed(
            seed
        )  # that of the CPU; torch.manual_seed takes a millisecond for the others
        image = self._padded(source) if self._crop == "padded" else self._resized(source)
        if random.random() < self._flip:  # noqa: S311
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = normalize(np.asarray(self._colors(image))[None], self._preprocessing)[0]
        result: Tensor = self._erase(torch.from_numpy(pixels))
        return result

    def _resized(self, source: ImageSource) -> Image.Image:
        """A random part of the image, of random proportions (Szegedy et al., arXiv 1409.4842)."""
        image, _ = read_reduced_image(source, int(_ENOUGH * max(self._size) / self._scale[0] ** 0.5))
        top, left, height, width = RandomResizedCropAndInterpolation.get_params(image, self._scale, (3 / 4, 4 / 3))
        box = (left, top, left + width, top + height)
        return resize_box(image, self._size[::-1], Image.Resampling.BICUBIC, box)

    def _padded(self, source: ImageSource) -> Image.Image:
        """The whole image, shifted a little, what is missing mirrored."""
        image = read_image(source)
        box = (0.0, 0.0, float(image.width), float(image.height))
        pixels = np.asarray(resize_box(image, self._size[::-1], Image.Resampling.BICUBIC, box))
        rows, columns = (side // _PADDING for side in self._size)
        padded = np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), mode="reflect")
        top, left = random.randint(0, 2 * rows), random.randint(0, 2 * columns)  # noqa: S311
        height, width = self._size
        return Image.fromarray(padded[top : top + height, left : left + width])


class EvaluationTransform:
    """Images as they are judged: resized and cropped as for prediction, bit for bit as Pillow.

    Args:
        preprocessing: how.
    """

    def __init__(self, preprocessing: Preprocessing) -> None:
        self._preprocessing = preprocessing

    def __call__(self, source: ImageSource, request: SampleIndex) -> Tensor:
        """float32 [3, height, width], normalized.

        Raises:
            ImageError: the image cannot be decoded.
        """
        pixels = read_and_preprocess(source, self._preprocessing, exact=True)
        return torch.from_numpy(normalize(pixels[None], self._preprocessing)[0])


def _colors(options: TrainingOptions, size: Grid) -> Any:
    """What timm does to the colors, and with some policies to the geometry, of an image of the right size."""
    policy = None if options.augmentation.auto_augment == "none" else options.augmentation.auto_augment
    try:
        _, colors, _ = create_transform(
            input_size=(3, *size),
            is_training=True,
            color_jitter=options.augmentation.color_jitter or None,  # timm leaves it out where there is a policy
            auto_augment=policy,
            interpolation="bicubic",
            separate=True,
        )
    except (AssertionError, ValueError) as error:
        raise ConfigError(f"--auto-augment is {policy!r}: timm has no such policy, use rand-m9-mstd0.5-inc1") from error
    for operation in _operations(colors):
        if operation.aug_fn is posterize:  # which newer releases of Pillow refuse to do to 0 bits
            operation.aug_fn = _posterize
    return colors


def _operations(colors: Any) -> list[Any]:
    """The single operations of timm's policies."""
    found: list[Any] = []
    for policy in getattr(colors, "transforms", ()):
        groups = getattr(policy, "policy", None) or [getattr(policy, "ops", [])]
        found.extend(operation for group in groups for operation in group)
    return [operation for operation in found if hasattr(operation, "aug_fn")]


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    return posterize(image, max(1, bits))
