"""Image processors of transformers whose configuration files can be read: their defaults and their resizing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from levit.errors import ConfigError
from levit.spec.field_values import shown
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD

_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, kw_only=True)
class ImageProcessorType:
    """Class of an image processor.

    Attributes:
        enlarges: whether an image is resized to 256/224 of `shortest_edge`, as LeViT's does, instead of exactly to it.
        is_square: whether one number as `size` means height and width instead of the shorter side.
        defaults: values of fields that a file may lack; an absent `crop_size` is the size of the network's input.
    """

    enlarges: bool = False
    is_square: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


LEVIT = ImageProcessorType(
    enlarges=True,
    defaults={"size": {"shortest_edge": 224}, "resample": 3, "image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD},
)
_CLIP = ImageProcessorType(
    defaults={"size": {"shortest_edge": 224}, "crop_size": 224, "image_mean": _CLIP_MEAN, "image_std": _CLIP_STD}
)
_VIT = ImageProcessorType(
    is_square=True,
    defaults={"size": 224, "do_center_crop": False, "resample": 2, "image_mean": (0.5,) * 3, "image_std": (0.5,) * 3},
)
_TYPES = {"Levit": LEVIT, "Bit": _CLIP, "CLIP": _CLIP, "ViT": _VIT}


def image_processor_type(config: Mapping[str, Any]) -> ImageProcessorType:
    """Class that a preprocessor_config.json names; LeViT's if it names none.

    Args:
        config: content of the file.

    Raises:
        ConfigError: the class is of another family, whose preprocessing is not known here.
    """
    name = config.get("image_processor_type") or config.get("feature_extractor_type")
    if name is None:
        return LEVIT
    family = name if isinstance(name, str) else ""
    for suffix in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        family = family.removesuffix(suffix)
    if family not in _TYPES:
        known = ", ".join(f"{known}ImageProcessor" for known in _TYPES)
        raise ConfigError(f"{shown(name)} is not supported", source="image_processor_type", hint=f"use {known}")
    return _TYPES[family]
