"""Folding of canonical weights into deployment weights: the same function with fewer operations.

All steps are computed in float64:

1. each batch norm is merged into the convolution or linear layer before it, and that of a head into the linear layer
   after it; layers without batch norm keep their bias;
2. two heads become one, because the mean of two linear layers is a linear layer;
3. the attention scale is merged into the queries, and the bias table is gathered into [heads, queries, keys], where a
   mask becomes biases whose softmax is 0;
4. queries, keys and values become three linear layers, so that no tensor has to be split at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.dialects import BATCH_NORM_EPSILON
from levit.spec.architecture import Architecture
from levit.spec.blocks import MASK, AttentionBlock, MlpBlock, StemLayer
from levit.spec.network import encoder_blocks, heads, stem_layers

Array = NDArray[np.float64]
FoldedWeights = dict[str, Array]

_MASKED = -1e4  # its exponential is 0 in every precision, and fp16 can represent it, unlike float32's minimum


def fold(weights: Mapping[str, NDArray[Any]], architecture: Architecture) -> FoldedWeights:
    """Fold canonical weights into deployment weights.

    Args:
        weights: canonical name -> array, as in `Checkpoint.weights`.
        architecture: hyperparameters of the network.

    Returns:
        float64 arrays by the names of the layers in the deployment graph. `<name>.weight` of a linear layer is
        [inputs, outputs], so that the layer computes `x @ weight + bias`, and that of a convolution [outputs, inputs,
        rows, columns]; `<name>.bias` is [outputs]. `<name>.attention_bias` of an attention is [heads, queries, keys].
        `head.weight` and `head.bias` exist only if the network has a head.

    Examples:
        >>> import levit
        >>> checkpoint = levit.read_checkpoint("tests/golden/tiny/transformers")
        >>> folded = fold(checkpoint.weights, checkpoint.architecture)
        >>> folded["stage1.block1.attention.query.weight"].shape, folded["head.weight"].shape
        ((32, 16), (64, 10))
    """
    double = {name: np.asarray(array, np.float64) for name, array in weights.items()}
    folded: FoldedWeights = {}
    for layer in stem_layers(architecture):
        folded |= _stem_layer(double, layer)
    for block in encoder_blocks(architecture):
        folded |= _attention(double, block) if isinstance(block, AttentionBlock) else _mlp(double, block)
    return folded | _head(double, architecture)


def _stem_layer(weights: Mapping[str, Array], layer: StemLayer) -> FoldedWeights:
    kernel = weights[f"{layer.key}.convolution.weight"]
    if not layer.has_batch_norm:
        return {f"{layer.name}.weight": kernel, f"{layer.name}.bias": weights[f"{layer.key}.convolution.bias"]}
    scale, shift = _batch_norm(weights, f"{layer.key}.batch_norm")
    return {f"{layer.name}.weight": kernel * scale[:, None, None, None], f"{layer.name}.bias": shift}


def _attention(weights: Mapping[str, Array], block: AttentionBlock) -> FoldedWeights:
    if block.is_residual:
        sizes = [block.key_dim, block.key_dim, block.value_dim]
        query, key, value = _split_heads(*_linear(weights, f"{block.key}.queries_keys_values"), block.num_heads, sizes)
    else:
        query = _linear(weights, f"{block.key}.queries")
        sizes = [block.key_dim, block.value_dim]
        key, value = _split_heads(*_linear(weights, f"{block.key}.keys_values"), block.num_heads, sizes)
    scale = block.key_dim**-0.5
    layers = {
        "query": (query[0] * scale, query[1] * scale),
        "key": key,
        "value": value,
        "projection": _linear(weights, f"{block.key}.projection"),
    }
    bias = weights[f"{block.key}.attention_biases"][:, block.offset_table()]
    if block.has_mask:
        bias = np.where(weights[f"{block.key}.{MASK}"] != 0, bias, _MASKED)
    return _named(layers, f"{block.name}.") | {f"{block.name}.attention_bias": bias}


def _mlp(weights: Mapping[str, Array], block: MlpBlock) -> FoldedWeights:
    linear = _linear if block.has_batch_norm else _linear_with_bias
    layers = {name: linear(weights, f"{block.key}.linear_{name}") for name in ("up", "down")}
    return _named(layers, f"{block.name}.")


def _head(weights: Mapping[str, Array], architecture: Architecture) -> FoldedWeights:
    layers = []
    for head in heads(architecture):
        weight, bias = _linear_with_bias(weights, head.key)
        if head.has_batch_norm:
            scale, shift = _batch_norm(weights, f"{head.key}.batch_norm")
            weight, bias = weight * scale[:, None], bias + shift @ weight
        layers.append((weight, bias))
    if not layers:
        return {}
    weight = np.mean([weight for weight, _ in layers], axis=0)
    bias = np.mean([bias for _, bias in layers], axis=0)
    return _named({"head": (weight, bias)})


def _linear(weights: Mapping[str, Array], key: str) -> tuple[Array, Array]:
    """Weight [inputs, outputs] and bias [outputs] of a linear layer merged with its batch norm."""
    scale, shift = _batch_norm(weights, f"{key}.batch_norm")
    return weights[f"{key}.linear.weight"].T * scale, shift


def _linear_with_bias(weights: Mapping[str, Array], key: str) -> tuple[Array, Array]:
    """Weight [inputs, outputs] and bias [outputs] of a linear layer that has a bias."""
    return weights[f"{key}.linear.weight"].T, weights[f"{key}.linear.bias"]


def _batch_norm(weights: Mapping[str, Array], key: str) -> tuple[Array, Array]:
    """Scale and shift of a batch norm with fixed statistics."""
    scale = weights[f"{key}.weight"] / np.sqrt(weights[f"{key}.running_var"] + BATCH_NORM_EPSILON)
    return scale, weights[f"{key}.bias"] - weights[f"{key}.running_mean"] * scale


def _split_heads(weight: Array, bias: Array, num_heads: int, sizes: list[int]) -> list[tuple[Array, Array]]:
    """Split a layer whose outputs are grouped by head into one layer for each of the sizes."""
    cuts = np.cumsum(sizes)[:-1]
    weights = np.split(weight.reshape(len(weight), num_heads, -1), cuts, axis=2)
    biases = np.split(bias.reshape(num_heads, -1), cuts, axis=1)
    return [(w.reshape(len(w), -1), b.reshape(-1)) for w, b in zip(weights, biases, strict=True)]


def _named(layers: Mapping[str, tuple[Array, Array]], prefix: str = "") -> FoldedWeights:
    named: FoldedWeights = {}
    for name, (weight, bias) in layers.items():
        named |= {f"{prefix}{name}.weight": weight, f"{prefix}{name}.bias": bias}
    return named
