"""Auto-encoders over the heads of queries and keys in checkpoints of ViTCoD, folded into the layers before them.

ViTCoD (`--svd_type mix_head_fc_qk`) maps the heads of queries to fewer heads and back by two linear layers without an
activation between them, `encoder_q` and `decoder_q`, and likewise those of keys. Both are linear, as is the layer that
computes queries and keys, so that their product is one layer of the same shape.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.dialects import BATCH_NORM_EPSILON
from levit.checkpoints.weight_files import StoredWeights
from levit.errors import CheckpointError

_ENCODER = "encoder_q.weight"
_RECORDED = ("attention_sum", "num_attention")  # sums over images that ViTCoD stores beside the weights


def fold_head_autoencoders(stored: StoredWeights, name: str) -> StoredWeights:
    """Fold auto-encoders over heads into the layers of queries and keys; the network computes the same.

    The batch norm of folded channels becomes one that only adds a bias, so that training continues with other
    statistics.

    Args:
        stored: content of a weight file.
        name: source of the error.

    Returns:
        The content without auto-encoders and without recorded attention; the same object if there are none.

    Raises:
        CheckpointError: an auto-encoder is incomplete, or its shapes do not fit.
    """
    weights = stored.arrays
    folded = {key: array for key, array in weights.items() if key.rpartition(".")[2] not in _RECORDED}
    if len(folded) == len(weights) and not any(key.endswith(f".{_ENCODER}") for key in weights):
        return stored
    for key in weights:
        if key.endswith(f".{_ENCODER}"):
            prefix = key.removesuffix(_ENCODER)
            try:
                folded |= _fold(weights, prefix)
            except (KeyError, ValueError, ZeroDivisionError) as error:
                reason = f"its auto-encoder over heads {prefix}* is incomplete or does not fit ({error})"
                raise CheckpointError(reason, source=name) from None
            folded = {key: array for key, array in folded.items() if not _is_autoencoder(key, prefix)}
    return replace(stored, arrays=folded)


def _is_autoencoder(key: str, prefix: str) -> bool:
    return key.startswith((f"{prefix}encoder_", f"{prefix}decoder_"))


def _fold(weights: Weights, prefix: str) -> Weights:
    """Layer of queries, keys and values of one attention, with its auto-encoders."""
    weight, norm, dtype = _linear_and_norm(weights, prefix)
    heads = weights[prefix + _ENCODER].shape[1]
    value_dim = weights[f"{prefix}proj.1.c.weight"].shape[1] // heads
    key_dim = (len(weight) // heads - value_dim) // 2
    rows = {name: array.reshape(heads, 2 * key_dim + value_dim, -1) for name, array in (norm | {"c": weight}).items()}
    for letter, channels in (("q", slice(0, key_dim)), ("k", slice(key_dim, 2 * key_dim))):
        matrix, shift = _product(weights, prefix, letter)
        scale = rows["weight"][:, channels] / np.sqrt(rows["running_var"][:, channels] + BATCH_NORM_EPSILON)
        bias = rows["bias"][:, channels] - rows["running_mean"][:, channels] * scale
        rows["c"][:, channels] = np.einsum("ij,jkc->ikc", matrix, rows["c"][:, channels] * scale)
        rows["bias"][:, channels] = np.einsum("ij,jkc->ikc", matrix, bias) + shift[:, None, None]
        rows["weight"][:, channels], rows["running_mean"][:, channels] = 1.0, 0.0
        rows["running_var"][:, channels] = 1 - BATCH_NORM_EPSILON
    arrays = {f"{prefix}qkv.bn.{name}": rows[name].reshape(-1).astype(dtype) for name in norm}
    return arrays | {f"{prefix}qkv.c.weight": rows["c"].reshape(weight.shape).astype(dtype)}


def _linear_and_norm(weights: Weights, prefix: str) -> tuple[NDArray[np.float64], Weights, np.dtype[Any]]:
    """Copies in float64 of a linear weight and of its batch norm, and the stored type."""
    stored = weights[f"{prefix}qkv.c.weight"]
    norm = {
        name: np.array(weights[f"{prefix}qkv.bn.{name}"], np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    return np.array(stored, np.float64), norm, stored.dtype


def _product(weights: Weights, prefix: str, letter: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix [heads, heads] and shift [heads] of an encoder followed by its decoder."""
    parts = {
        (part, name): np.array(weights[f"{prefix}{part}_{letter}.{name}"], np.float64)
        for part in ("encoder", "decoder")
        for name in ("weight", "bias")
    }
    decoder = parts["decoder", "weight"]
    matrix = decoder @ parts["encoder", "weight"]
    return matrix, decoder @ parts["encoder", "bias"] + parts["decoder", "bias"]
