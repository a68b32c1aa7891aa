"""Training weights -> deployment weights, exactly: the same function with fewer operations.

What is folded, always in float64 (DESIGN.md, "The deployment network"):

1. every batch norm goes into the convolution or linear layer before it, a head's into the linear layer after it;
2. two heads become one, because the mean of two linear layers is a linear layer;
3. the attention scale goes into the queries, and the bias table is gathered once into [heads, queries, keys];
4. queries, keys and values become three linear layers, so that nothing is left to be split at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.spec.architecture import Architecture
from levit.spec.blocks import AttentionBlock, MlpBlock, StemLayer, encoder_blocks, heads, stem_layers

Array = NDArray[np.float64]
FoldedWeights = dict[str, Array]

_EPSILON = 1e-5  # of every batch norm


def fold(weights: Mapping[str, NDArray[Any]], architecture: Architecture) -> FoldedWeights:
    """Fold canonical weights into those of the deployment network.

    Linear weights are [inputs, outputs], so that a layer is `x @ weight + bias`.

    Args:
        weights: canonical name -> array, as `levit.read_checkpoint` gives them.
        architecture: what the network is.

    Returns:
        float64 arrays under the names that the graph's nodes have: for each layer `<name>.weight` and `<name>.bias`,
        for each attention `<name>.position_bias` [heads, queries, keys]; `head.weight` and `head.bias` where the
        network has a head.

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
    scale, shift = _batch_norm(weights, f"{layer.key}.batch_norm")
    kernel = weights[f"{layer.key}.convolution.weight"]
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
    return _named(layers, f"{block.name}.") | {f"{block.name}.position_bias": bias}


def _mlp(weights: Mapping[str, Array], block: MlpBlock) -> FoldedWeights:
    layers = {name: _linear(weights, f"{block.key}.linear_{name}") for name in ("up", "down")}
    return _named(layers, f"{block.name}.")


def _head(weights: Mapping[str, Array], architecture: Architecture) -> FoldedWeights:
    layers = []
    for head in heads(architecture):
        scale, shift = _batch_norm(weights, f"{head.key}.batch_norm")
        weight = weights[f"{head.key}.linear.weight"].T
        layers.append((weight * scale[:, None], weights[f"{head.key}.linear.bias"] + shift @ weight))
    if not layers:
        return {}
    weight = np.mean([weight for weight, _ in layers], axis=0)
    bias = np.mean([bias for _, bias in layers], axis=0)
    return _named({"head": (weight, bias)})


def _linear(weights: Mapping[str, Array], key: str) -> tuple[Array, Array]:
    """A linear layer and its batch norm as [inputs, outputs] and [outputs]."""
    scale, shift = _batch_norm(weights, f"{key}.batch_norm")
    return weights[f"{key}.linear.weight"].T * scale, shift


def _batch_norm(weights: Mapping[str, Array], key: str) -> tuple[Array, Array]:
    """A batch norm with fixed statistics as scale and shift."""
    scale = weights[f"{key}.weight"] / np.sqrt(weights[f"{key}.running_var"] + _EPSILON)
    return scale, weights[f"{key}.bias"] - weights[f"{key}.running_mean"] * scale


def _split_heads(weight: Array, bias: Array, num_heads: int, sizes: list[int]) -> list[tuple[Array, Array]]:
    """One layer whose outputs are interleaved head by head -> one layer for each of the sizes."""
    cuts = np.cumsum(sizes)[:-1]
    weights = np.split(weight.reshape(len(weight), num_heads, -1), cuts, axis=2)
    biases = np.split(bias.reshape(num_heads, -1), cuts, axis=1)
    return [(w.reshape(len(w), -1), b.reshape(-1)) for w, b in zip(weights, biases, strict=True)]


def _named(layers: Mapping[str, tuple[Array, Array]], prefix: str = "") -> FoldedWeights:
    named: FoldedWeights = {}
    for name, (weight, bias) in layers.items():
        named |= {f"{prefix}{name}.weight": weight, f"{prefix}{name}.bias": bias}
    return named
