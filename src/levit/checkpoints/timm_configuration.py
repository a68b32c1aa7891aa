"""Reading and writing of timm's config.json: activation, image size, labels and preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import floor, nextafter
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.transformers_configuration import MULTI_LABEL
from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Architecture, Grid
from levit.spec.field_values import MAX_INTEGER, check_mapping, check_positive, check_text, shown
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD, RESAMPLE_FILTERS, Preprocessing
from levit.spec.variants import ALL_VARIANTS

_FILTER_NUMBERS = {name: number for number, name in RESAMPLE_FILTERS.items()}
_ACTIVATIONS = {"hardswish": "hard_swish", "silu": "silu", "gelu": "gelu", "gelu_tanh": "gelu_tanh"}
_OTHER_NAMES = {"hardswish": "hardswish", "swish": "silu", "gelutanh": "gelu_tanh"}  # of timm, or of its modules
_COMMON_CROP_RATIOS = (1.0, 0.9, 0.875, 0.95)
_DEFAULT_CROP_RATIO = 0.875  # timm's default for files without crop_pct, although it is 0.9 for its own LeViTs


def is_timm(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is one of timm."""
    return isinstance(config.get("architecture"), str)


def timm_activation(config: Mapping[str, Any]) -> str | None:
    """Activation of a configuration, or None if it has none.

    Raises:
        ConfigError: it is not supported.
    """
    layer = _section(config, "model_args").get("act_layer")
    if layer is not None:
        names = {name: activation for activation, name in _ACTIVATIONS.items()} | _OTHER_NAMES
        activation = names.get(str(layer).lower())
        if activation is None:
            raise ConfigError(
                f"unknown value {shown(layer)}", source="act_layer", hint=f"use one of {', '.join(names)}"
            )
        return activation
    name = str(config.get("architecture", "")).replace("levit_conv_", "levit_").replace("_", "-")
    return next((variant.activation for variant in ALL_VARIANTS.values() if variant.name == name), None)


def timm_image_size(config: Mapping[str, Any]) -> int | Grid | None:
    """Height and width of the input in pixels, or one number for both; None if a configuration has neither."""
    size = _section(config, "model_args").get("img_size")
    if size is None:
        size = _section(config, "pretrained_cfg").get("input_size")
        if size is not None and not (isinstance(size, list) and len(size) == 3):
            raise ConfigError(f"{shown(size)} is not channels, height and width", source="input_size")
        size = size and size[1:]
    return tuple(size) if isinstance(size, list) else size


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return {} if section is None else check_mapping(name, section)


def timm_labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Class names of a configuration, or None if it has none."""
    names = config.get("label_names")
    if names is None:
        return None
    if not isinstance(names, list):
        raise ConfigError(f"{shown(names)} is not a list of names", source="label_names")
    return tuple(check_text("label_names", name) for name in names)


def timm_preprocessing(config: Mapping[str, Any], image_size: Grid) -> Preprocessing:
    """Preprocessing of timm's evaluation transform, or its best approximation.

    See `unsupported_timm_preprocessing` for the cases that are approximated.

    Args:
        config: content of a config.json.
        image_size: height and width of the network's input in pixels.

    Raises:
        ConfigError: a field is invalid.
    """
    settings = _transform_section(config)
    mean, std = settings.get("mean") or IMAGENET_MEAN, settings.get("std") or IMAGENET_STD
    if _has_other_channels(config):
        mean, std = IMAGENET_MEAN, IMAGENET_STD
    for name, values in (("mean", mean), ("std", std)):
        if not isinstance(values, list | tuple):
            raise ConfigError(f"{shown(values)} is not a list with one number per channel", source=name)
    interpolation = settings.get("interpolation") or "bicubic"
    if not isinstance(interpolation, str) or interpolation not in _FILTER_NUMBERS:
        raise ConfigError(
            f"unknown value {shown(interpolation)}",
            source="interpolation",
            hint=f"use one of {', '.join(_FILTER_NUMBERS)}",
        )
    height, width = _resized_size(settings, image_size)
    is_exact = settings.get("crop_mode") == "squash" or height != width
    return Preprocessing(
        resize=(height, width) if is_exact else height,
        crop=image_size,
        resample=_FILTER_NUMBERS[interpolation],
        mean=tuple(mean),
        std=tuple(std),
    )


def unsupported_timm_preprocessing(config: Mapping[str, Any], image_size: Grid) -> str | None:
    """Sentence about a transform of timm that `timm_preprocessing` only approximates, or None if it is exact."""
    settings = _transform_section(config)
    height, width = _resized_size(settings, image_size)
    mode = settings.get("crop_mode")
    if _has_other_channels(config):
        return "timm normalizes images of other channels than RGB, which levit cannot do: preprocess them yourself"
    if mode == "border":
        return "timm pads the whole image to a frame (crop_mode border), which levit cannot do: it crops the image"
    if mode != "squash" and height != width:
        return f"timm resizes an image to cover {height}x{width}, which levit cannot do: it resizes it to exactly this"
    return None


def _has_other_channels(config: Mapping[str, Any]) -> bool:
    """Return whether images have another number of channels than 3, and the values of normalization are for them."""
    size = _section(config, "pretrained_cfg").get("input_size")
    channels = _section(config, "model_args").get("in_chans", size[0] if isinstance(size, list) and size else 3)
    mean = _transform_section(config).get("mean")
    return channels != 3 and isinstance(mean, list | tuple) and len(mean) == channels


def _transform_section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fields of the transform; old files have no section for them."""
    return _section(config, "pretrained_cfg") or config


def _resized_size(settings: Mapping[str, Any], image_size: Grid) -> Grid:
    """Size that timm resizes to: if both numbers are equal, that of the shorter side; with crop_mode squash, both."""
    ratio = settings.get("crop_pct") or _DEFAULT_CROP_RATIO
    ratio = check_positive("crop_pct", ratio)
    height, width = (size / ratio for size in image_size)
    if max(height, width) > MAX_INTEGER:
        raise ConfigError(f"{shown(ratio)} is too small", source="crop_pct")
    return int(height), int(width)


def timm_config(checkpoint: Checkpoint, *, is_convolutional: bool) -> dict[str, Any]:
    """Build the config.json with which `timm.create_model("local-dir:…")` opens the weights.

    Args:
        checkpoint: the weights and their description.
        is_convolutional: whether the linear layers are written as 1x1 convolutions (`levit_conv_…`).

    Raises:
        CheckpointError: timm has no such network.
    """
    architecture = checkpoint.architecture
    # The number of heads is that of the registered network; model_args cannot change it.
    name = {2: "levit_128s", 1: "levit_256d"}.get(architecture.num_classifiers)
    if name is None or not _is_supported_by_timm(architecture):
        raise CheckpointError(
            "timm has no such LeViT (it has one key_dim for all stages, the default downsampling, MLPs in each stage, "
            "and stems of 3x3 convolutions that shrink by 8 or 16)",
            source=checkpoint.source.name,
            hint="use another format",
        )
    height, width = architecture.image_height_width
    return {
        "architecture": name.replace("levit_", "levit_conv_") if is_convolutional else name,
        "num_classes": architecture.num_labels,
        "num_features": architecture.hidden_sizes[-1],
        "global_pool": "avg",
        "model_args": _model_args(architecture),
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


def _model_args(architecture: Architecture) -> dict[str, Any]:
    return {
        "img_size": list(architecture.image_height_width),
        "num_classes": architecture.num_labels,
        "in_chans": architecture.num_channels,
        "embed_dim": list(architecture.hidden_sizes),
        "key_dim": architecture.key_dim[0],
        "num_heads": list(architecture.num_attention_heads),
        "depth": list(architecture.depths),
        "attn_ratio": list(architecture.attention_ratio),
        "mlp_ratio": list(architecture.mlp_ratio),
        "stem_type": f"s{architecture.patch_size}",
        "act_layer": _ACTIVATIONS[architecture.activation],
    }


def timm_transform(preprocessing: Preprocessing, image_size: Grid) -> dict[str, Any]:
    """Fields of timm's evaluation transform for a preprocessing, or the best approximation.

    Args:
        preprocessing: preprocessing of images.
        image_size: height and width of the network's input in pixels.

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
        "crop_pct": _crop_ratio(image_size, resize or image_size),
        "crop_mode": mode,
        # Identity if there is no normalization.
        "mean": list(preprocessing.mean or (0.0, 0.0, 0.0)),
        "std": list(preprocessing.std or (1.0, 1.0, 1.0)),
    }


def _crop_ratio(image_size: Grid, resized: Grid) -> float:
    """Ratio for which timm computes the size of the resized image: a common one, or that with the fewest digits.

    Examples:
        >>> _crop_ratio((224, 224), (248, 248)), _crop_ratio((224, 224), (239, 239))
        (0.9, 0.937)
    """
    pairs = list(zip(image_size, resized, strict=True))
    largest: float = min(side / length for side, length in pairs)
    while any(int(side / largest) < length for side, length in pairs):  # the quotient was rounded up
        largest = nextafter(largest, 0)
    ratios = (*_COMMON_CROP_RATIOS, *(floor(largest * 10**digits) / 10**digits for digits in range(1, 17)))
    exact = (ratio for ratio in ratios if ratio and all(int(side / ratio) == length for side, length in pairs))
    return next(exact, largest)


def _is_supported_by_timm(architecture: Architecture) -> bool:
    """Return whether timm's network can have these blocks."""
    stem = (architecture.kernel_size, architecture.stride, architecture.padding)
    return (
        architecture.has_layers_of_paper
        and architecture.activation in _ACTIVATIONS
        and len(set(architecture.key_dim)) == 1
        and architecture.patch_size in (8, 16)
        and stem == (3, 2, 1)
        and min(architecture.mlp_ratio) > 0
        and architecture.downsamples == replace(architecture, downsamples=None).downsamples
    )
