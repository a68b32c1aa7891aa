"""timm's config.json <-> what weights do not tell: activation, image size, labels, preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import floor, inf, nextafter
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.transformers_configuration import MULTI_LABEL
from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Architecture, Grid
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD, RESAMPLE_FILTERS, Preprocessing
from levit.spec.variants import ALL_VARIANTS

_FILTER_NUMBERS = {name: number for number, name in RESAMPLE_FILTERS.items()}
_USUAL_SHARES = (1.0, 0.9, 0.875, 0.95)
_CROP_SHARE = 0.875  # which timm takes where a file does not say it, although its own LeViTs have 0.9


def is_timm(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is timm's."""
    return isinstance(config.get("architecture"), str)


def timm_activation(config: Mapping[str, Any]) -> str | None:
    """The activation that a configuration says, or None."""
    layer = _section(config, "model_args").get("act_layer")
    if layer is not None:
        return "silu" if str(layer).lower() in ("silu", "swish") else "hardswish"
    name = str(config.get("architecture", "")).replace("levit_conv_", "levit_").replace("_", "-")
    return next((variant.activation for variant in ALL_VARIANTS.values() if variant.name == name), None)


def timm_image_size(config: Mapping[str, Any]) -> int | Grid | None:
    """Height and width of the input (one number for both) that a configuration says, or None."""
    size = _section(config, "model_args").get("img_size")
    if size is None:
        size = _section(config, "pretrained_cfg").get("input_size", [None])[1:] or None
    return tuple(size) if isinstance(size, list) else size


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def timm_labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names that a configuration holds, or None."""
    names = config.get("label_names")
    return tuple(map(str, names)) if isinstance(names, list) else None


def timm_preprocessing(config: Mapping[str, Any], image_size: Grid) -> Preprocessing:
    """The evaluation transform of timm, or the nearest there is here; see `timm_difference`.

    Raises:
        ConfigError: a field has a value that describes no preprocessing.
    """
    settings = _transform_section(config)
    mean, std = settings.get("mean") or IMAGENET_MEAN, settings.get("std") or IMAGENET_STD
    if not isinstance(mean, list | tuple) or not isinstance(std, list | tuple):
        raise ConfigError("mean and std must be lists with one number per channel")
    interpolation = settings.get("interpolation") or "bicubic"
    if interpolation not in _FILTER_NUMBERS:
        raise ConfigError(f"interpolation is {interpolation!r}: use one of {', '.join(_FILTER_NUMBERS)}")
    height, width = _resized(settings, image_size)
    is_exact = settings.get("crop_mode") == "squash" or height != width
    return Preprocessing(
        resize=(height, width) if is_exact else height,
        crop=image_size,
        resample=_FILTER_NUMBERS[interpolation],
        mean=tuple(mean),
        std=tuple(std),
    )


def timm_difference(config: Mapping[str, Any], image_size: Grid) -> str | None:
    """What timm does to an image that `timm_preprocessing` cannot say, in a sentence; None where there is nothing."""
    settings = _transform_section(config)
    height, width = _resized(settings, image_size)
    mode = settings.get("crop_mode")
    if mode == "border":
        return "timm fits the whole image into a frame (crop_mode border), which levit cannot: it crops the image"
    if mode != "squash" and height != width:
        return f"timm resizes an image to cover {height}x{width}, which levit cannot: it squashes the image to that"
    return None


def _transform_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of preprocessing; older files have no section for them."""
    return _section(config, "pretrained_cfg") or config


def _resized(settings: Mapping[str, Any], image_size: Grid) -> Grid:
    """What timm resizes to: the shorter side, where both are the same, or in crop_mode squash both."""
    share = settings.get("crop_pct") or _CROP_SHARE
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < inf:
        raise ConfigError(f"crop_pct is {share!r}: it must be a number above 0")
    return int(image_size[0] / share), int(image_size[1] / share)


def timm_config(checkpoint: Checkpoint, *, is_convolutional: bool) -> dict[str, Any]:
    """The config.json with which `timm.create_model("local-dir:…")` opens the weights.

    Raises:
        CheckpointError: timm has no such network.
    """
    architecture = checkpoint.architecture
    # timm's registered networks differ in what model_args cannot change: the number of heads.
    name = {2: "levit_128s", 1: "levit_256d"}.get(architecture.num_classifiers)
    if name is None or not _is_timms(architecture):
        raise CheckpointError(
            f"{checkpoint.source.name}: timm has no such LeViT (it knows one key_dim, its own downsampling, MLPs in "
            "every stage, and stems of 3x3 convolutions that shrink by 8 or 16): use another dialect"
        )
    height, width = architecture.image_height_width
    return {
        "architecture": name.replace("levit_", "levit_conv_") if is_convolutional else name,
        "num_classes": architecture.num_labels,
        "num_features": architecture.hidden_sizes[-1],
        "global_pool": "avg",
        "model_args": {
            "img_size": [height, width],
            "num_classes": architecture.num_labels,
            "in_chans": architecture.num_channels,
            "embed_dim": list(architecture.hidden_sizes),
            "key_dim": architecture.key_dim[0],
            "num_heads": list(architecture.num_attention_heads),
            "depth": list(architecture.depths),
            "attn_ratio": list(architecture.attention_ratio),
            "mlp_ratio": list(architecture.mlp_ratio),
            "stem_type": f"s{architecture.patch_size}",
            "act_layer": {"hardswish": "hard_swish", "silu": "silu"}[architecture.activation],
        },
        "label_names": list(checkpoint.labels),
        **({"problem_type": MULTI_LABEL} if checkpoint.is_multi_label else {}),
        "pretrained_cfg": {
            "input_size": [architecture.num_channels, height, width],
            "fixed_input_size": True,
            **timm_transform(checkpoint.preprocessing, (height, width)),
            "num_classes": architecture.num_labels,
            "first_conv": "stem.conv1.linear",
            "classifier": ["head.linear", "head_dist.linear"][: architecture.num_classifiers],
        },
    }


def timm_transform(preprocessing: Preprocessing, image_size: Grid) -> dict[str, Any]:
    """The fields with which timm transforms an image the same, or as nearly as it can.

    Examples:
        >>> timm_transform(Preprocessing(resize=(64, 64), crop=(64, 64)), (64, 64))["crop_pct"]
        1.0
    """
    resize, mode = preprocessing.resize, "center"
    if isinstance(resize, tuple):
        mode = "squash"
    elif isinstance(resize, int):
        resize = (resize, resize)
    return {
        "interpolation": RESAMPLE_FILTERS[preprocessing.resample],
        "crop_pct": _crop_share(image_size, resize or image_size),
        "crop_mode": mode,
        # Without a normalization, one that changes nothing.
        "mean": list(preprocessing.mean or (0.0, 0.0, 0.0)),
        "std": list(preprocessing.std or (1.0, 1.0, 1.0)),
    }


def _crop_share(image_size: Grid, resized: Grid) -> float:
    """A usual or else the shortest number by which timm gets from an input's sides to those of the resized image.

    Examples:
        >>> _crop_share((224, 224), (248, 248)), _crop_share((224, 224), (239, 239))
        (0.9, 0.937)
    """
    pairs = list(zip(image_size, resized, strict=True))
    largest: float = min(side / length for side, length in pairs)
    while any(int(side / largest) < length for side, length in pairs):  # where the quotient was rounded up
        largest = nextafter(largest, 0)
    shares = (*_USUAL_SHARES, *(floor(largest * 10**digits) / 10**digits for digits in range(1, 17)))
    exact = (share for share in shares if share and all(int(side / share) == length for side, length in pairs))
    return next(exact, largest)


def _is_timms(architecture: Architecture) -> bool:
    """Whether timm's network has these blocks for some arguments."""
    stem = (architecture.kernel_size, architecture.stride, architecture.padding)
    return (
        len(set(architecture.key_dim)) == 1
        and architecture.patch_size in (8, 16)
        and stem == (3, 2, 1)
        and min(architecture.mlp_ratio) > 0
        and architecture.downsamples == replace(architecture, downsamples=None).downsamples
    )
