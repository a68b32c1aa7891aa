"""Preprocessing of images for inference: resize, center crop, rescale and normalize."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from levit.errors import ConfigError
from levit.spec.architecture import Grid
from levit.spec.field_values import is_integer, is_number, shown

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Pillow's numbers of its resampling filters, which preprocessor_config.json uses, too.
RESAMPLE_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Preprocessing of an RGB image, applied in the order of the fields; None omits a step.

    Attributes:
        resize: length of the shorter side in pixels, at least 1, where the longer side keeps the aspect ratio, rounded
            down; or exact height and width, regardless of the aspect ratio.
        crop: height and width of the central crop in pixels; a smaller image is padded with zeros.
        resample: Pillow's number of the resampling filter, 0 to 5; 3 is bicubic.
        rescale: factor that 8-bit values are multiplied by, usually 1/255.
        mean: value that is subtracted from each of the three channels after rescaling; None together with `std`.
        std: value, not 0, that each of the three channels is divided by after `mean` is subtracted.

    Raises:
        ConfigError: a value is invalid; `source` is the field.

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
        if not is_integer(self.resample) or self.resample not in RESAMPLE_FILTERS:
            raise ConfigError(
                f"unknown filter {shown(self.resample)}", source="resample", hint="use a number of Pillow's, 0 to 5"
            )
        for name, size in (("resize", self.resize), ("crop", self.crop)):
            sides = size if isinstance(size, tuple) else () if size is None else (size,)
            if not all(is_integer(side) and side > 0 for side in sides):
                raise ConfigError(f"{shown(size)} is not a whole number of pixels above 0", source=name)
            if isinstance(size, tuple) and len(size) != 2:
                raise ConfigError(f"{shown(size)} is not height and width", source=name)
        if self.crop is not None and not isinstance(self.crop, tuple):
            raise ConfigError(f"{shown(self.crop)} is not height and width", source="crop")
        if self.rescale is not None and not is_number(self.rescale):
            raise ConfigError(f"{shown(self.rescale)} is not a number", source="rescale")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is None:
                continue
            if not isinstance(values, tuple) or len(values) != 3 or not all(map(is_number, values)):
                raise ConfigError(f"{shown(values)} is not one number for each of the three channels", source=name)
        if (self.mean is None) != (self.std is None):
            missing = "mean" if self.mean is None else "std"
            raise ConfigError("missing", source=missing, hint="give both mean and std, or neither")
        if self.std is not None and 0 in self.std:
            raise ConfigError(f"{self.std} has a channel of 0", source="std")

    @property
    def output_size(self) -> Grid | None:
        """Height and width in pixels after resizing and cropping, or None if they depend on the image."""
        if self.crop is not None:
            return self.crop
        return self.resize if isinstance(self.resize, tuple) else None

    def scale_and_shift(self) -> tuple[list[float], list[float]]:
        """Rescaling and normalization as one linear map: `pixel * scale + shift` for each channel.

        Returns:
            Scales and shifts, three of each.

        Examples:
            >>> Preprocessing(resize=None, crop=None, mean=(0.5,) * 3, std=(0.5,) * 3).scale_and_shift()[1]
            [-1.0, -1.0, -1.0]
        """
        rescale = 1.0 if self.rescale is None else self.rescale
        mean, std = self.mean or (0.0,) * 3, self.std or (1.0,) * 3
        return [rescale / value for value in std], [-center / value for center, value in zip(mean, std, strict=True)]

    def check_fits(self, image_size: Grid) -> None:
        """Check that preprocessed images have the input size of a network.

        Args:
            image_size: height and width of the network's input in pixels.

        Raises:
            ConfigError: their size differs, or depends on the image.
        """
        if self.output_size != image_size:
            size = "the size of each image" if self.output_size is None else "{}x{}".format(*self.output_size)
            raise ConfigError(
                f"preprocessing gives {size}, but the network takes {image_size[0]}x{image_size[1]}",
                hint="set crop_size in preprocessor_config.json to the network's image_size",
            )

    @classmethod
    def for_image_size(cls, image_size: Grid) -> Preprocessing:
        """Preprocessing of the published networks for an image size.

        Bicubic resizing of the shorter side to 256/224 of a square crop, or to exactly a size that is not square;
        mean and standard deviation of ImageNet.

        Args:
            image_size: height and width of the network's input in pixels.
        """
        return cls(
            resize=int(256 / 224 * min(image_size)) if image_size[0] == image_size[1] else image_size,
            crop=image_size,
        )

    def to_dict(self) -> dict[str, Any]:
        """Fields as plain JSON values, for `from_dict`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Inverse of `to_dict`.

        Raises:
            ConfigError: a value is invalid.
        """
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        unknown = set(fields) - set(cls.__dataclass_fields__)
        if unknown:
            raise ConfigError("unknown field of a preprocessing", source=min(unknown), hint="written by a newer levit?")
        return cls(**fields)
