"""Auto-encoders over the heads of queries and keys in checkpoints of ViTCoD, folded into the layers before them.

ViTCoD (`--svd_type mix_head_fc_qk`) maps the heads of queries to fewer heads and back by two linear layers without an
activation between them, `encoder_q` and `decoder_q`, and likewise those of keys. Both are linear, as is the layer that
computes queries and keys, so that their product is one layer of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.dialects import BATCH_NORM_EPSILON
from levit.checkpoints.weight_files import StoredWeights
from levit.errors import CheckpointError

_RECORDED = ("attention_sum", "num_attention")  # sums over images that ViTCoD stores beside the weights
_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, kw_only=True)
class AutoencoderNames:
    """Names of an attention with auto-encoders, after the prefix of the attention.

    Attributes:
        linear: weight of the layer of queries, keys and values.
        norm: its batch norm.
        projection: weight of the output projection.
        encoder: an encoder, with `{letter}` for "q" or "k" and `{word}` for "query" or "key".
        decoder: a decoder, likewise.
    """

    linear: str
    norm: str
    projection: str
    encoder: str
    decoder: str

    def encoder_weight(self, letter: str) -> str:
        """Name of the weight of an encoder of queries ("q") or keys ("k")."""
        return dict(self.autoencoders())[f"encoder_{letter}.weight"]

    def autoencoders(self) -> Iterator[tuple[str, str]]:
        """The weights of the auto-encoders: name in ViTCoD's files, and name here, in the same order always."""
        for letter, word in (("q", "query"), ("k", "key")):
            for part, pattern in (("encoder", self.encoder), ("decoder", self.decoder)):
                for name in ("weight", "bias"):
                    yield f"{part}_{letter}.{name}", f"{pattern.format(letter=letter, word=word)}.{name}"


VITCOD_NAMES = AutoencoderNames(
    linear="qkv.c.weight", norm="qkv.bn", projection="proj.1.c.weight",
    encoder="encoder_{letter}", decoder="decoder_{letter}",
)  # fmt: skip
CANONICAL_NAMES = AutoencoderNames(
    linear="queries_keys_values.linear.weight", norm="queries_keys_values.batch_norm",
    projection="projection.linear.weight",
    encoder="{word}_autoencoder.encoder", decoder="{word}_autoencoder.decoder",
)  # fmt: skip
_ENCODER = VITCOD_NAMES.encoder_weight("q")


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
                folded |= fold_attention(weights, prefix, VITCOD_NAMES)
            except (IndexError, KeyError, ValueError, ZeroDivisionError) as error:
                reason = f"its auto-encoder over heads {prefix}* is incomplete or does not fit ({error})"
                raise CheckpointError(reason, source=name) from None
            folded = {key: array for key, array in folded.items() if not _is_autoencoder(key, prefix)}
    return replace(stored, arrays=folded)


def _is_autoencoder(key: str, prefix: str) -> bool:
    return key.startswith((f"{prefix}encoder_", f"{prefix}decoder_"))


def fold_attention(weights: Weights, prefix: str, names: AutoencoderNames) -> Weights:
    """Fold the auto-encoders of one attention into its layer of queries, keys and values.

    Args:
        weights: weights of the network, or at least of this attention.
        prefix: prefix of the names of the attention.
        names: names after the prefix.

    Returns:
        The weight of the layer and its batch norm, of the type of the stored weight.

    Raises:
        KeyError: a weight is missing.
        IndexError, ValueError, ZeroDivisionError: the shapes do not fit.
    """
    weight, norm, dtype = _linear_and_norm(weights, prefix, names)
    heads = weights[prefix + names.encoder_weight("q")].shape[1]
    value_dim = weights[prefix + names.projection].shape[1] // heads
    key_dim = (len(weight) // heads - value_dim) // 2
    rows = {name: array.reshape(heads, 2 * key_dim + value_dim, -1) for name, array in (norm | {"c": weight}).items()}
    for letter, channels in (("q", slice(0, key_dim)), ("k", slice(key_dim, 2 * key_dim))):
        matrix, shift = _product(weights, prefix, names, letter)
        scale = rows["weight"][:, channels] / np.sqrt(rows["running_var"][:, channels] + BATCH_NORM_EPSILON)
        bias = rows["bias"][:, channels] - rows["running_mean"][:, channels] * scale
        rows["c"][:, channels] = np.einsum("ij,jkc->ikc", matrix, rows["c"][:, channels] * scale)
        rows["bias"][:, channels] = np.einsum("ij,jkc->ikc", matrix, bias) + shift[:, None, None]
        rows["weight"][:, channels], rows["running_mean"][:, channels] = 1.0, 0.0
        rows["running_var"][:, channels] = 1 - BATCH_NORM_EPSILON
    arrays = {f"{prefix}{names.norm}.{name}": rows[name].reshape(-1).astype(dtype) for name in norm}
    return arrays | {prefix + names.linear: rows["c"].reshape(weight.shape).astype(dtype)}


def _linear_and_norm(
    weights: Weights, prefix: str, names: AutoencoderNames
) -> tuple[NDArray[np.float64], Weights, np.dtype[Any]]:
    """Copies in float64 of a linear weight and of its batch norm, and the stored type."""
    stored = weights[prefix + names.linear]
    norm = {name: np.array(weights[f"{prefix}{names.norm}.{name}"], np.float64) for name in _NORM}
    return np.array(stored, np.float64), norm, stored.dtype


def _product(
    weights: Weights, prefix: str, names: AutoencoderNames, letter: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix [heads, heads] and shift [heads] of an encoder followed by its decoder."""
    parts = {
        vitcod: np.array(weights[prefix + name], np.float64)
        for vitcod, name in names.autoencoders()
        if vitcod.rpartition(".")[0].endswith(letter)
    }
    decoder = parts[f"decoder_{letter}.weight"]
    matrix = decoder @ parts[f"encoder_{letter}.weight"]
    return matrix, decoder @ parts[f"encoder_{letter}.bias"] + parts[f"decoder_{letter}.bias"]
