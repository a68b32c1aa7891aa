"""Inference of the architecture from the shapes of the weights, for files without a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import inf, isqrt, nextafter, prod
from typing import Any

from levit.errors import CheckpointError, ConfigError, first_line
from levit.spec.architecture import Architecture, Downsample, Grid
from levit.spec.architecture_fields import MAX_STAGES
from levit.spec.blocks import MASK, Shape
from levit.spec.variants import ALL_VARIANTS, Variant

_LAYER = re.compile(r"levit\.encoder\.stages\.\d+\.layers\.\d+")

# A stage without blocks: the fields that its blocks would determine have arbitrary valid values.
_EMPTY_STAGE: dict[str, Any] = {
    "hidden_sizes": 1,
    "num_attention_heads": 1,
    "depths": 0,
    "key_dim": 1,
    "mlp_ratio": 0,
    "attention_ratio": 1,
}


def infer_architecture(
    shapes: Mapping[str, Shape],
    name: str,
    *,
    activation: str | None = None,
    image_size: int | Grid | None = None,
    fields: Mapping[str, Any] | None = None,
) -> Architecture:
    """Infer the architecture of a network from its weights.

    Fields that the shapes do not determine have the values of the published networks: a stem that halves the image in
    each convolution, a square image of a whole number of patches, a downsampling stride of 2, and Hardswish, or SiLU
    for the sizes for which timm uses it.

    Args:
        shapes: canonical name -> shape.
        name: source of the error.
        activation: activation instead of the assumed one.
        image_size: side, or height and width, of the input in pixels instead of the assumed one; it must give the same
            number of tokens.
        fields: fields of the architecture that the dialect determines.

    Raises:
        CheckpointError: the weights are not those of a LeViT.
        ConfigError: the image size does not give the number of tokens that the weights have.
    """
    try:
        architecture = _infer(shapes, image_size)
        values: dict[str, Any] = {"activation": _default_activation(architecture), **(fields or {})}
        return replace(architecture, **{**values, **({"activation": activation} if activation else {})})
    except ConfigError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"the weights do not determine the architecture ({first_line(error)})",
            source=name,
            hint="put its config.json into the same folder",
        ) from None


def _default_activation(architecture: Architecture) -> str:
    def sizes(network: Architecture | Variant) -> tuple[object, ...]:
        return network.hidden_sizes, network.depths, network.num_attention_heads, network.patch_size

    variants = (variant for variant in ALL_VARIANTS.values() if sizes(variant) == sizes(architecture))
    return next((variant.activation for variant in variants), "hardswish")


def _infer(shapes: Mapping[str, Shape], image_size: int | Grid | None) -> Architecture:
    stem = _stem_kernels(shapes)
    layers = {match.group() for match in map(_LAYER.match, shapes) if match}
    stages: list[dict[str, Any]] = []
    downsamples: list[Downsample] = []
    width = stem[-1][0]
    while len(stages) <= len(downsamples):  # each stage but the last ends with a downsampling
        if len(stages) == MAX_STAGES:
            raise ValueError(f"more than {MAX_STAGES} stages")
        prefix = f"levit.encoder.stages.{len(stages)}.layers"
        stage = dict(_EMPTY_STAGE, hidden_sizes=width)
        stages.append(stage)
        for position in range(sum(layer.startswith(f"{prefix}.") for layer in layers)):
            layer = f"{prefix}.{position}"
            if f"{layer}.attention_biases" in shapes:
                downsample, width = _downsample(shapes, layer, f"{prefix}.{position + 1}")
                downsamples.append(downsample)
                break
            if f"{layer}.module.attention_biases" in shapes:
                stage |= {"depths": stage["depths"] + 1, **_attention_fields(shapes, f"{layer}.module")}
            else:
                stage["mlp_ratio"] = _ratio(shapes[f"{layer}.module.linear_up.linear.weight"][0], width)
    stage_fields: dict[str, Any] = {name: tuple(stage[name] for stage in stages) for name in _EMPTY_STAGE}
    stem_fields = _stem_fields(stem, _count_tokens(shapes), image_size)
    stage_fields["has_attention_masks"] = any(key.endswith(f".{MASK}") for key in shapes)
    return Architecture(**stem_fields, **stage_fields, downsamples=tuple(downsamples), **_head_fields(shapes))


def _stem_kernels(shapes: Mapping[str, Shape]) -> list[Shape]:
    stem = "levit.patch_embeddings"
    count = sum(key.startswith(f"{stem}.") and key.endswith("convolution.weight") for key in shapes)
    return [shapes[f"{stem}.embedding_layer_{number}.convolution.weight"] for number in range(1, count + 1)]


def _count_tokens(shapes: Mapping[str, Shape]) -> int:
    """Number of tokens of the first stage, by any of its attentions; 0 if it has none."""
    keys = (key for key in shapes if key.startswith("levit.encoder.stages.0.") and key.endswith(".attention_biases"))
    key = next(keys, None)
    return shapes[key][1] if key else 0


def _stem_fields(stem: list[Shape], tokens: int, image_size: int | Grid | None) -> dict[str, Any]:
    patch_size, kernel_size = 2 ** len(stem), stem[0][2]
    side = isqrt(tokens)
    if image_size is None and side * side != tokens:
        raise ValueError(f"{tokens} tokens are not a square grid, and no image_size was given")
    fields: dict[str, Any] = {
        "num_channels": stem[0][1],
        "kernel_size": kernel_size,
        "padding": kernel_size // 2,
        "patch_size": patch_size,
        "stem_channels": tuple(kernel[0] for kernel in stem),
        "image_size": side * patch_size or 224 if image_size is None else image_size,
    }
    stage: dict[str, Any] = {name: (value,) for name, value in _EMPTY_STAGE.items()}
    grid = Architecture(**fields, **{**stage, "hidden_sizes": (stem[-1][0],)}).stem_grids[-1]
    if tokens and prod(grid) != tokens:
        raise ConfigError(
            f"{fields['image_size']} gives {grid[0]}x{grid[1]} tokens, but the weights are for {tokens}",
            source="image_size",
        )
    return fields


def _head_fields(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    keys = [f"{head}.linear.weight" for head in ("classifier", "classifier_distill")]
    num_labels = [shapes[key][0] for key in keys if key in shapes]
    return {"num_labels": num_labels[0] if num_labels else 0, "num_classifiers": len(num_labels)}


def _attention_fields(shapes: Mapping[str, Shape], key: str) -> dict[str, Any]:
    heads = shapes[f"{key}.attention_biases"][0]
    value_dim = shapes[f"{key}.projection.linear.weight"][1] // heads
    key_dim = (shapes[f"{key}.queries_keys_values.linear.weight"][0] // heads - value_dim) // 2
    return {"num_attention_heads": heads, "key_dim": key_dim, "attention_ratio": _ratio(value_dim, key_dim)}


def _downsample(shapes: Mapping[str, Shape], key: str, next_key: str) -> tuple[Downsample, int]:
    """Downsampling whose attention is `key`, and the width of the next stage."""
    heads = shapes[f"{key}.attention_biases"][0]
    width, values = shapes[f"{key}.projection.linear.weight"]
    key_dim = shapes[f"{key}.queries.linear.weight"][0] // heads
    hidden_width = shapes.get(f"{next_key}.module.linear_up.linear.weight", (0,))[0]
    downsample = Downsample(
        key_dim=key_dim,
        num_attention_heads=heads,
        attention_ratio=_ratio(values // heads, key_dim),
        mlp_ratio=_ratio(hidden_width, width),
    )
    return downsample, width


def _ratio(output: int, width: int) -> float:
    """Ratio with `int(width * ratio) == output`; an integer if possible."""
    if output % width == 0:
        return output // width
    ratio = output / width
    return ratio if int(width * ratio) == output else nextafter(ratio, inf)
