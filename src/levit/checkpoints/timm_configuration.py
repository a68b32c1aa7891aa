"""timm's config.json <-> what weights do not tell: activation, image size, labels, preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Architecture, Grid
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD, RESAMPLE_FILTERS, Preprocessing
from levit.spec.variants import ALL_VARIANTS

_FILTER_NUMBERS = {name: number for number, name in RESAMPLE_FILTERS.items()}
_CROP_SHARE = 0.9  # of timm's LeViTs, where a configuration does not say it


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
    """The evaluation transform of timm: shorter side to the crop by the crop share, rounded down."""
    settings = _section(config, "pretrained_cfg")
    share = settings.get("crop_pct", _CROP_SHARE)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ConfigError(f"crop_pct is {share!r}: it must be a number above 0 and at most 1")
    mean, std = settings.get("mean", IMAGENET_MEAN), settings.get("std", IMAGENET_STD)
    if not isinstance(mean, list | tuple) or not isinstance(std, list | tuple):
        raise ConfigError("mean and std must be lists with one number per channel")
    return Preprocessing(
        resize=int(image_size[0] / share) if image_size[0] == image_size[1] else image_size,
        crop=image_size,
        resample=_FILTER_NUMBERS.get(str(settings.get("interpolation")), 3),
        mean=tuple(mean),
        std=tuple(std),
    )


def timm_config(checkpoint: Checkpoint, *, is_convolutional: bool) -> dict[str, Any]:
    """The config.json with which `timm.create_model("local-dir:…")` opens the weights.

    Raises:
        CheckpointError: timm has no such network.
    """
    architecture, preprocessing = checkpoint.architecture, checkpoint.preprocessing
    # timm's registered networks differ in what model_args cannot change: the number of heads.
    name = {2: "levit_128s", 1: "levit_256d"}.get(architecture.num_classifiers)
    if name is None or not _is_timms(architecture):
        raise CheckpointError(
            f"{checkpoint.source.name}: timm has no such LeViT (it knows one key_dim, its own downsampling, MLPs in "
            "every stage, and stems of 3x3 convolutions that shrink by 8 or 16): use another dialect"
        )
    height, width = architecture.image_height_width
    resize = preprocessing.resize if isinstance(preprocessing.resize, int) else height
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
        "pretrained_cfg": {
            "input_size": [architecture.num_channels, height, width],
            "fixed_input_size": True,
            "interpolation": RESAMPLE_FILTERS[preprocessing.resample],
            "crop_pct": min(height / resize, 1.0),
            "crop_mode": "center",
            "mean": list(preprocessing.mean or IMAGENET_MEAN),
            "std": list(preprocessing.std or IMAGENET_STD),
            "num_classes": architecture.num_labels,
            "first_conv": "stem.conv1.linear",
            "classifier": ["head.linear", "head_dist.linear"][: architecture.num_classifiers],
        },
    }


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
