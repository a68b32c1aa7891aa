"""timm's config.json <-> what weights do not tell: activation, image size, labels, preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import CheckpointError
from levit.spec.architecture import Grid
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD, RESAMPLE_FILTERS, Preprocessing
from levit.spec.variants import ALL_VARIANTS

_FILTER_NUMBERS = {name: number for number, name in RESAMPLE_FILTERS.items()}
_CROP_SHARE = 0.9  # of timm's LeViTs, where a configuration does not say it


def is_timm(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is timm's."""
    return isinstance(config.get("architecture"), str)


def timm_activation(config: Mapping[str, Any]) -> str | None:
    """The activation that a configuration says, or None."""
    layer = config.get("model_args", {}).get("act_layer")
    if layer is not None:
        return "silu" if str(layer).lower() in ("silu", "swish") else "hardswish"
    name = str(config.get("architecture", "")).replace("levit_conv_", "levit_").replace("_", "-")
    return next((variant.activation for variant in ALL_VARIANTS.values() if variant.name == name), None)


def timm_image_size(config: Mapping[str, Any]) -> Grid | None:
    """Height and width of the input that a configuration says, or None."""
    size = config.get("model_args", {}).get("img_size") or config.get("pretrained_cfg", {}).get("input_size", [])[1:]
    return (int(size[0]), int(size[1])) if isinstance(size, list) and len(size) == 2 else None


def timm_labels(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The class names that a configuration holds, or None."""
    names = config.get("label_names")
    return tuple(map(str, names)) if isinstance(names, list) else None


def timm_preprocessing(config: Mapping[str, Any], image_size: Grid) -> Preprocessing:
    """The evaluation transform of timm: shorter side to the crop by the crop share, rounded down."""
    settings = config.get("pretrained_cfg", {})
    share = settings.get("crop_pct", _CROP_SHARE)
    return Preprocessing(
        resize=int(image_size[0] / share) if image_size[0] == image_size[1] else image_size,
        crop=image_size,
        resample=_FILTER_NUMBERS.get(settings.get("interpolation", "bicubic"), 3),
        mean=tuple(settings.get("mean", IMAGENET_MEAN)),
        std=tuple(settings.get("std", IMAGENET_STD)),
    )


def timm_config(checkpoint: Checkpoint, *, is_convolutional: bool) -> dict[str, Any]:
    """The config.json with which `timm.create_model("local-dir:…")` opens the weights.

    Raises:
        CheckpointError: timm has no such network.
    """
    architecture, preprocessing = checkpoint.architecture, checkpoint.preprocessing
    if len(set(architecture.key_dim)) > 1:
        raise CheckpointError("timm has no LeViT with another key_dim in each stage: use another dialect")
    # timm's registered networks differ in what model_args cannot change: the number of heads and the stem.
    bases = {(2, 16): "levit_128s", (1, 16): "levit_256d", (2, 8): "levit_384_s8", (1, 8): "levit_512_s8"}
    name = bases.get((architecture.num_classifiers, architecture.patch_size))
    if name is None:
        raise CheckpointError("timm has no LeViT with such a stem, or without a head: use another dialect")
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
