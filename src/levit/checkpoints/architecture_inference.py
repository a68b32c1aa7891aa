"""The architecture that the shapes of canonical weights imply, for files that come without a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from math import inf, isqrt, nextafter, prod
from typing import Any

from levit.errors import CheckpointError, ConfigError
from levit.spec.architecture import Architecture, Downsample, Grid
from levit.spec.blocks import Shape
from levit.spec.variants import ALL_VARIANTS, Variant


def architecture_from_shapes(
    shapes: Mapping[str, Shape], name: str, *, activation: str | None = None, image_size: int | Grid | None = None
) -> Architecture:
    """The architecture of a network with these weights.

    What shapes cannot tell has the published networks' value: a stem that halves the image in each convolution, a
    square image of a whole number of patches, a downsampling stride of 2, and Hardswish, but SiLU for those of timm's
    sizes that have it.

    Args:
        shapes: canonical name -> shape.
        name: what to call the file in an error.
        activation: "hardswish" or "silu", where it is known.
        image_size: of the input in pixels, where it is known: another size with the same grid, or not square.

    Raises:
        CheckpointError: the weights are not those of a LeViT.
        ConfigError: the image size does not give the grid that the weights have.
    """
    try:
        found = _infer(shapes, image_size)
        return replace(found, activation=activation or _usual_activation(found))
    except ConfigError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"{name}: cannot tell the architecture from the weights ({error}): put its config.json beside it"
        ) from None


def _usual_activation(found: Architecture) -> str:
    def sizes(one: Architecture | Variant) -> tuple[object, ...]:
        return one.hidden_sizes, one.depths, one.num_attention_heads, one.patch_size

    return next((one.activation for one in ALL_VARIANTS.values() if sizes(one) == sizes(found)), "hardswish")


def _infer(shapes: Mapping[str, Shape], image_size: int | Grid | None) -> Architecture:
    stem = _stem(shapes)
    layers = {match.group() for match in map(_LAYER.match, shapes) if match}
    stages: list[dict[str, Any]] = []
    downsamples: list[Downsample] = []
    width, tokens = stem[-1][0], 0
    while len(stages) <= len(downsamples):  # every stage but the last ends with a downsampling
        stage = f"levit.encoder.stages.{len(stages)}.layers"
        found: dict[str, Any] = {
            "width": width,
            "heads": 1,
            "depth": 0,
            "key_dim": 1,
            "attention": 1,
            "mlp": 0,
        }
        stages.append(found)
        for position in range(sum(layer.startswith(f"{stage}.") for layer in layers)):
            layer = f"{stage}.{position}"
            if f"{layer}.attention_biases" in shapes:
                tokens = tokens or shapes[f"{layer}.attention_biases"][1]
                one, width = _downsample(shapes, layer, f"{stage}.{position + 1}")
                downsamples.append(one)
                break
            if f"{layer}.module.attention_biases" in shapes:
                tokens = tokens or shapes[f"{layer}.module.attention_biases"][1]
                found |= {"depth": found["depth"] + 1, **_attention(shapes, f"{layer}.module")}
            else:
                found["mlp"] = _ratio(shapes[f"{layer}.module.linear_up.linear.weight"][0], width)
    return Architecture(
        **_stem_fields(stem, tokens, image_size),
        hidden_sizes=tuple(stage["width"] for stage in stages),
        num_attention_heads=tuple(stage["heads"] for stage in stages),
        depths=tuple(stage["depth"] for stage in stages),
        key_dim=tuple(stage["key_dim"] for stage in stages),
        mlp_ratio=tuple(stage["mlp"] for stage in stages),
        attention_ratio=tuple(stage["attention"] for stage in stages),
        downsamples=tuple(downsamples),
        **_head_fields(shapes),
    )


_LAYER = re.compile(r"levit\.encoder\.stages\.\d+\.layers\.\d+")


def _stem(shapes: Mapping[str, Shape]) -> list[Shape]:
    keys = [key for key in shapes if key.startswith("levit.patch_embeddings.") and key.endswith("convolution.weight")]
    return [
        shapes[f"levit.patch_embeddings.embedding_layer_{index + 1}.convolution.weight"] for index in range(len(keys))
    ]


def _stem_fields(stem: list[Shape], tokens: int, image_size: int | Grid | None) -> dict[str, Any]:
    patch_size, kernel_size = 2 ** len(stem), stem[0][2]
    side = isqrt(tokens)
    if image_size is None and side * side != tokens:
        raise KeyError(f"{tokens} tokens are no square grid, and no image_size was given")
    fields: dict[str, Any] = {
        "num_channels": stem[0][1],
        "kernel_size": kernel_size,
        "padding": kernel_size // 2,
        "patch_size": patch_size,
        "image_size": side * patch_size or 224 if image_size is None else image_size,
    }
    grid = Architecture(**fields, hidden_sizes=(stem[-1][0],), **_ONE_STAGE).stem_grids[-1]
    if tokens and prod(grid) != tokens:
        raise ConfigError(
            f"image_size {fields['image_size']} gives {grid[0]}x{grid[1]} tokens, but the weights are for {tokens}"
        )
    return fields


# Enough of a network to ask for the grid of its stem.
_ONE_STAGE: dict[str, Any] = {
    "num_attention_heads": (1,),
    "depths": (0,),
    "key_dim": (1,),
    "mlp_ratio": (0,),
    "attention_ratio": (1,),
}


def _head_fields(shapes: Mapping[str, Shape]) -> dict[str, Any]:
    keys = [f"{head}.linear.weight" for head in ("classifier", "classifier_distill")]
    found = [shapes[key][0] for key in keys if key in shapes]
    return {"num_labels": found[0] if found else 0, "num_classifiers": len(found)}


def _attention(shapes: Mapping[str, Shape], key: str) -> dict[str, Any]:
    heads = shapes[f"{key}.attention_biases"][0]
    value_dim = shapes[f"{key}.projection.linear.weight"][1] // heads
    key_dim = (shapes[f"{key}.queries_keys_values.linear.weight"][0] // heads - value_dim) // 2
    return {"heads": heads, "key_dim": key_dim, "attention": _ratio(value_dim, key_dim)}


def _downsample(shapes: Mapping[str, Shape], key: str, next_key: str) -> tuple[Downsample, int]:
    """The downsampling whose attention is `key`, and the width that it leads to."""
    heads = shapes[f"{key}.attention_biases"][0]
    width, values = shapes[f"{key}.projection.linear.weight"]
    key_dim = shapes[f"{key}.queries.linear.weight"][0] // heads
    hidden_width = shapes.get(f"{next_key}.module.linear_up.linear.weight", (0,))[0]
    one = Downsample(
        key_dim=key_dim,
        num_attention_heads=heads,
        attention_ratio=_ratio(values // heads, key_dim),
        mlp_ratio=_ratio(hidden_width, width),
    )
    return one, width


def _ratio(output: int, width: int) -> float:
    """The ratio with `int(width * ratio) == output`, whole where it can be."""
    if output % width == 0:
        return output // width
    ratio = output / width
    return ratio if int(width * ratio) == output else nextafter(ratio, inf)
