"""Resize, crop, mean and standard deviation as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from levit.errors import ConfigError
from levit.spec.architecture import Grid

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Pillow's numbers for its filters, which preprocessor_config.json uses too.
RESAMPLE_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What happens to an RGB image before the network sees it, in this order; None leaves a step out.

    Attributes:
        resize: shorter side in pixels (the longer one follows, rounded down), or exact height and width.
        crop: height and width of the central crop; a smaller image is padded with zeros.
        resample: Pillow's number of the resize filter; 3 is bicubic.
        rescale: factor from 8-bit values, usually 1/255.
        mean, std: per channel, subtracted and divided by after rescaling.

    Examples:
        >>> Preprocessing.for_image_size((224, 224)).resize
        256
    """

    resize: int | Grid | None
    crop: Grid | None
    resample: int = 3
    rescale: float | None = 1 / 255
    mean: tuple[float, ...] | None = IMAGENET_MEAN
    std: tuple[float, ...] | None = IMAGENET_STD

    def __post_init__(self) -> None:
        if not isinstance(self.resample, int) or self.resample not in RESAMPLE_FILTERS:
            raise ConfigError(f"resample is {self.resample!r}: use one of Pillow's filters, 0 to 5 (3 is bicubic)")
        for name, size in (("resize", self.resize), ("crop", self.crop)):
            sides = size if isinstance(size, tuple) else () if size is None else (size,)
            if not all(isinstance(side, int) and side > 0 for side in sides):
                raise ConfigError(f"{name} is {size!r}: give whole numbers of pixels")
        if self.rescale is not None and not _is_number(self.rescale):
            raise ConfigError(f"rescale is {self.rescale!r}: give a number")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and (len(values) != 3 or not all(map(_is_number, values))):
                raise ConfigError(f"{name} is {values!r}: give one number for each of the three channels")
        if (self.mean is None) != (self.std is None):
            raise ConfigError("mean and std go together: give both, or neither")
        if self.std is not None and 0 in self.std:
            raise ConfigError(f"std is {self.std}: no channel may be 0")

    @property
    def output_size(self) -> Grid | None:
        """Height and width of every result, or None where it depends on the image."""
        if self.crop is not None:
            return self.crop
        return self.resize if isinstance(self.resize, tuple) else None

    def scale_and_shift(self) -> tuple[list[float], list[float]]:
        """Rescaling, mean and standard deviation in one: a value is `pixel * scale + shift`, for each channel.

        Examples:
            >>> Preprocessing(resize=None, crop=None, mean=(0.5,) * 3, std=(0.5,) * 3).scale_and_shift()[1]
            [-1.0, -1.0, -1.0]
        """
        rescale = 1.0 if self.rescale is None else self.rescale
        mean, std = self.mean or (0.0,) * 3, self.std or (1.0,) * 3
        return [rescale / value for value in std], [-center / value for center, value in zip(mean, std, strict=True)]

    def check_fits(self, image_size: Grid) -> None:
        """Raise unless the result has the size that the network takes.

        Raises:
            ConfigError: it has another one, or one that depends on the image.
        """
        if self.output_size != image_size:
            size = "the size of each image" if self.output_size is None else "x".join(map(str, self.output_size))
            raise ConfigError(
                f"preprocessing gives {size}, but the network takes {image_size[0]}x{image_size[1]}: "
                "set crop_size in preprocessor_config.json to the network's image_size"
            )

    @classmethod
    def for_image_size(cls, image_size: Grid) -> Preprocessing:
        """The usual evaluation preprocessing: shorter side to 256/224 of the crop, bicubic, ImageNet statistics."""
        return cls(
            resize=int(256 / 224 * min(image_size)) if image_size[0] == image_size[1] else image_size,
            crop=image_size,
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values, for `from_dict`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`."""
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**fields)
