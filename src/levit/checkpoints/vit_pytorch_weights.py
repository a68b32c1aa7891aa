"""Weights of vit-pytorch's `LeViT`, another network than that of the paper, as canonical weights, and back.

The network's layers are 1x1 convolutions. Canonical weights have one linear layer for queries, keys and values, grouped
by head; biases that are added to the scaled scores, so those of vit-pytorch times the square root of the key channels;
and no bias before a batch norm, whose running mean is that much lower.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.dialects import BATCH_COUNT, VIT_PYTORCH
from levit.errors import CheckpointError, first_few
from levit.spec.architecture import Architecture
from levit.spec.blocks import AttentionBlock
from levit.spec.layer_shapes import BATCH_NORM_TENSORS
from levit.spec.network import attention_blocks

# Canonical name of a head -> key; the distillation head comes first in a state dict.
HEADS = {"classifier_distill": "distill_head", "classifier": "mlp_head"}

# What the shapes of the weights do not determine. The MLPs of older releases have the activation "gelu".
ARCHITECTURE_FIELDS: dict[str, Any] = {
    "activation": "hardswish",
    "stem_activation": "none",
    "attention_activation": "gelu",
    "stem_batch_norm": False,
    "mlp_batch_norm": False,
    "head_batch_norm": False,
}

_FIRST_KEY = "conv_embedding.0.weight"
OFFSETS = "pos_indices"  # follow from the grid; ignored in reading
_TRANSFORMER = re.compile(r"backbone\.(\d+)\.layers\.(\d+)\.0\.to_q\.0\.weight")
_STEM_LAYERS = 4

Array = NDArray[Any]


def is_vit_pytorch(keys: Mapping[str, object]) -> bool:
    """Return whether the keys of a file are those of vit-pytorch's `LeViT`."""
    return _FIRST_KEY in keys


def from_vit_pytorch(
    arrays: Weights, name: str, *, library: str = VIT_PYTORCH.name, keys: Mapping[str, str] | None = None
) -> Weights:
    """Canonical weights of vit-pytorch's.

    Args:
        arrays: key -> array, float32 or float64, without the offset tables.
        name: source of the error.
        library: name of the library that wrote the file, for the error.
        keys: key of vit-pytorch -> key in the file, for the error; those that are absent are the same.

    Raises:
        CheckpointError: weights are missing, unexpected, or of other shapes.
    """
    rest = dict(arrays)
    try:
        weights = _convert(rest)
    except KeyError as error:
        missing = (keys or {}).get(error.args[0], error.args[0])
        raise CheckpointError(f"an incomplete LeViT of {library}: no {missing}", source=name) from None
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise CheckpointError(f"not the weights of a LeViT of {library} ({error})", source=name) from None
    if rest:
        examples = first_few(sorted((keys or {}).get(key, key) for key in rest))
        raise CheckpointError(f"{len(rest)} unexpected weights ({examples}), {library}", source=name)
    _check_heads(weights, name)
    return weights


def _check_heads(weights: Weights, name: str) -> None:
    sizes = [len(weights[f"{head}.linear.weight"]) for head in HEADS if f"{head}.linear.weight" in weights]
    if len(set(sizes)) > 1:
        raise CheckpointError(
            f"the distillation head has {sizes[0]} classes, and the other {sizes[1]}",
            source=name,
            hint="delete the weights of the distillation head from the file",
        )


def to_vit_pytorch(weights: Mapping[str, Array], architecture: Architecture) -> Weights:
    """Weights of vit-pytorch in the order of its state dict: the inverse of `from_vit_pytorch`.

    Args:
        weights: canonical name -> array.
        architecture: a network that vit-pytorch has.
    """
    arrays: Weights = {}
    for index in range(_STEM_LAYERS):
        for tensor in ("weight", "bias"):
            arrays[f"conv_embedding.{index}.{tensor}"] = weights[f"{_stem_key(index)}.{tensor}"]
    blocks = {block.key: block for block in attention_blocks(architecture)}
    for pair in _block_pairs(architecture.depths):
        arrays |= _write_attention(weights, pair, blocks[pair.attention])
        for layer, tensor in _mlp_tensors():
            array = weights[f"{pair.mlp}.{_MLP[layer]}.linear.{tensor}"]
            arrays[f"{pair.key}.1.net.{layer}.{tensor}"] = _unsqueezed(array) if tensor == "weight" else array
    for head, key in HEADS.items():
        for tensor in ("weight", "bias"):
            if f"{head}.linear.{tensor}" in weights:
                arrays[f"{key}.{tensor}"] = weights[f"{head}.linear.{tensor}"]
    return {key: np.array(array, order="C") for key, array in arrays.items()}


@dataclass(frozen=True)
class _BlockPair:
    """Attention and MLP: prefix of their keys, and canonical prefixes."""

    key: str
    attention: str
    mlp: str
    is_residual: bool


_MLP = {0: "linear_up", 3: "linear_down"}


def _mlp_tensors() -> Iterator[tuple[int, str]]:
    return ((layer, tensor) for layer in _MLP for tensor in ("weight", "bias"))


def _block_pairs(depths: tuple[int, ...]) -> Iterator[_BlockPair]:
    """All attentions with their MLPs, in order: those of each stage, and one that leads to the next stage."""
    for stage, depth in enumerate(depths):
        layers = f"levit.encoder.stages.{stage}.layers"
        for block in range(depth):
            key = f"backbone.{2 * stage}.layers.{block}"
            yield _BlockPair(key, f"{layers}.{2 * block}.module", f"{layers}.{2 * block + 1}.module", True)
        if stage + 1 < len(depths):
            key = f"backbone.{2 * stage + 1}.layers.0"
            yield _BlockPair(key, f"{layers}.{2 * depth}", f"{layers}.{2 * depth + 1}.module", False)


def _depths(keys: Mapping[str, object]) -> tuple[int, ...]:
    """Number of blocks of each stage; the stages have even numbers in the keys, what leads to the next odd ones."""
    found = [match.groups() for match in map(_TRANSFORMER.fullmatch, keys) if match]
    last = max((int(number) for number, _ in found), default=0)
    return tuple(sum(int(number) == 2 * stage for number, _ in found) for stage in range((last + 1) // 2 + 1))


def _convert(rest: Weights) -> Weights:
    """Convert and remove the known weights of a file."""
    depths = _depths(rest)
    weights: Weights = {}
    for index in range(_STEM_LAYERS):
        for tensor in ("weight", "bias"):
            weights[f"{_stem_key(index)}.{tensor}"] = rest.pop(f"conv_embedding.{index}.{tensor}")
    for pair in _block_pairs(depths):
        weights |= _read_attention(rest, pair)
        for layer, tensor in _mlp_tensors():
            array = rest.pop(f"{pair.key}.1.net.{layer}.{tensor}")
            weights[f"{pair.mlp}.{_MLP[layer]}.linear.{tensor}"] = _squeezed(array) if tensor == "weight" else array
    for head, key in reversed(HEADS.items()):
        if f"{key}.weight" in rest:
            for tensor in ("weight", "bias"):
                weights[f"{head}.linear.{tensor}"] = rest.pop(f"{key}.{tensor}")
    return weights


def _read_attention(rest: Weights, pair: _BlockPair) -> Weights:
    key, attention = f"{pair.key}.0", pair.attention
    biases = rest.pop(f"{key}.pos_bias.weight")
    heads, layers = biases.shape[1], ("to_q", "to_k", "to_v")
    parts = {layer: {"linear.weight": _squeezed(rest.pop(f"{key}.{layer}.0.weight"))} for layer in layers}
    for layer in layers:
        parts[layer] |= {f"batch_norm.{name}": array for name, array in _pop_norm(rest, f"{key}.{layer}.1").items()}
    key_dim = len(parts["to_q"]["linear.weight"]) // heads
    weights: Weights = {f"{attention}.attention_biases": _scaled(biases.T, key_dim**0.5)}
    for part, names in ({"queries_keys_values": layers} if pair.is_residual else _SUBSAMPLING).items():
        for tensor, first in parts[names[0]].items():
            packed = _packed([parts[name][tensor] for name in names], heads) if first.ndim else first
            weights[f"{attention}.{part}.{tensor}"] = packed
    weights[f"{attention}.projection.linear.weight"] = _squeezed(rest.pop(f"{key}.to_out.1.weight"))
    norm = _pop_norm(rest, f"{key}.to_out.2")
    norm["running_mean"] = norm["running_mean"] - rest.pop(f"{key}.to_out.1.bias")
    return weights | {f"{attention}.projection.batch_norm.{tensor}": array for tensor, array in norm.items()}


_SUBSAMPLING = {"keys_values": ("to_k", "to_v"), "queries": ("to_q",)}


def _write_attention(weights: Mapping[str, Array], pair: _BlockPair, block: AttentionBlock) -> Weights:
    key, attention = f"{pair.key}.0", pair.attention
    sizes = {"to_q": block.key_dim, "to_k": block.key_dim, "to_v": block.value_dim}
    groups = {"queries_keys_values": tuple(sizes)} if pair.is_residual else _SUBSAMPLING
    parts: dict[str, Array] = {}
    for part, names in groups.items():
        for tensor in ("linear.weight", *(f"batch_norm.{name}" for name in BATCH_NORM_TENSORS)):
            array = weights[f"{attention}.{part}.{tensor}"]
            pieces = _split(array, block.num_heads, [sizes[name] for name in names]) if array.ndim else [array] * 3
            parts |= {f"{name}.{tensor}": piece for name, piece in zip(names, pieces, strict=False)}
    arrays: Weights = {f"{key}.{OFFSETS}": np.array(block.offset_table(), np.int64)}
    for name in sizes:
        arrays[f"{key}.{name}.0.weight"] = _unsqueezed(parts[f"{name}.linear.weight"])
        arrays |= {f"{key}.{name}.1.{tensor}": parts[f"{name}.batch_norm.{tensor}"] for tensor in BATCH_NORM_TENSORS}
    projection, norm = weights[f"{attention}.projection.linear.weight"], f"{attention}.projection.batch_norm"
    arrays[f"{key}.to_out.1.weight"] = _unsqueezed(projection)
    arrays[f"{key}.to_out.1.bias"] = np.zeros_like(projection, shape=len(projection))
    arrays |= {f"{key}.to_out.2.{tensor}": weights[f"{norm}.{tensor}"] for tensor in BATCH_NORM_TENSORS}
    arrays[f"{key}.pos_bias.weight"] = _scaled(weights[f"{attention}.attention_biases"].T, block.key_dim**-0.5)
    return arrays


def _scaled(array: Array, factor: float) -> Array:
    """Product that is rounded once."""
    return np.asarray(array * np.float64(factor), array.dtype, order="C")


def _pop_norm(rest: Weights, key: str) -> Weights:
    rest.setdefault(f"{key}.{BATCH_COUNT}", np.array(0))  # which torch does not need
    return {tensor: rest.pop(f"{key}.{tensor}") for tensor in BATCH_NORM_TENSORS}


def _packed(arrays: list[Array], heads: int) -> Array:
    """Concatenate the outputs of layers, [heads * channels, ...] each, so that those of a head are together."""
    grouped = [array.reshape(heads, -1, *array.shape[1:]) for array in arrays]
    packed = np.concatenate(grouped, axis=1)
    return packed.reshape(-1, *packed.shape[2:])


def _split(packed: Array, heads: int, sizes: list[int]) -> list[Array]:
    """Inverse of `_packed`, for the channels of each layer in a head."""
    grouped = packed.reshape(heads, -1, *packed.shape[1:])
    pieces = np.split(grouped, np.cumsum(sizes)[:-1], axis=1)
    return [piece.reshape(-1, *packed.shape[1:]) for piece in pieces]


def _squeezed(array: Array) -> Array:
    """Weight of a 1x1 convolution as that of a linear layer."""
    return array.reshape(array.shape[:2])


def _unsqueezed(array: Array) -> Array:
    return array[:, :, None, None]


def _stem_key(index: int) -> str:
    return f"levit.patch_embeddings.embedding_layer_{index + 1}.convolution"
