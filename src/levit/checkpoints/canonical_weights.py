"""Conversion of stored arrays to canonical ones: types, shapes, and batch norms of fused files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Weights
from levit.checkpoints.dialects import BATCH_COUNT, BATCH_NORM_EPSILON, HEADS, MASK, is_linear
from levit.errors import CheckpointError

_PRECISIONS = {"float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "float64": "fp64"}  # the narrowest first

_COUNT_TYPES = (*_PRECISIONS, *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))

# A batch norm with these values only adds its bias.
_IDENTITY = {"weight": 1.0, "running_mean": 0.0, "running_var": 1 - BATCH_NORM_EPSILON}


def canonical_array(array: NDArray[Any], name: str, source: str) -> NDArray[Any]:
    """Convert a stored array to the type and shape of a canonical weight.

    Half precision becomes float32, which is exact; a 1x1 convolution becomes a linear layer. float32 and float64 are
    kept, `num_batches_tracked` becomes int64, and attention masks become bool.

    Args:
        array: stored array.
        name: canonical name.
        source: source of the error.

    Raises:
        CheckpointError: the array has another type.
    """
    if is_linear(name) and array.shape[2:] == (1, 1):
        array = array[:, :, 0, 0]
    kind = name.rpartition(".")[2]
    if kind == BATCH_COUNT and array.dtype.name in _COUNT_TYPES:
        return _batch_count(array, name, source)
    if kind == MASK and array.dtype.name == "uint8":
        return array.astype(bool)
    if array.dtype.name in (("bool",) if kind == MASK else ("float32", "float64")):
        return array
    if array.dtype.name not in ("float16", "bfloat16"):
        raise CheckpointError(
            f"{name} is of type {array.dtype.name}", source=source, hint="convert it to float32, float16 or bfloat16"
        )
    return array.astype(np.float32)


def _batch_count(array: NDArray[Any], name: str, source: str) -> NDArray[np.int64]:
    """Convert numbers of batches, which some programs store in the type of the weights."""
    with np.errstate(invalid="ignore", over="ignore"):
        count = array.astype(np.int64)
        is_whole = np.array_equal(count.astype(array.dtype), array)
    if not is_whole:
        raise CheckpointError(f"{name} is not a whole number", source=source)
    return count


def identity_batch_norms(weights: Weights) -> Weights:
    """Batch norms that only add a bias, for each layer of a fused file.

    Args:
        weights: canonical weights of a fused file.

    Returns:
        The weights that such a file lacks.
    """
    added: Weights = {}
    for name, array in weights.items():
        layer, _, tensor = name.rpartition(".")
        if name.endswith(".batch_norm.bias"):
            added |= _batch_norm(layer, array, _IDENTITY)
        elif tensor == "weight" and array.ndim == 2 and layer in (f"{head}.linear" for head in HEADS):
            added |= _batch_norm(layer.replace(".linear", ".batch_norm"), array[0], {**_IDENTITY, "bias": 0.0})
    return added


def batch_counts(weights: Weights) -> Weights:
    """Numbers of batches that batch norms have seen, 0, where a file lacks them; torch does not need them.

    Args:
        weights: canonical weights.
    """
    statistic = ".running_var"
    names = (f"{name.removesuffix(statistic)}.{BATCH_COUNT}" for name in weights if name.endswith(statistic))
    return {name: np.array(0) for name in names if name not in weights}


def _batch_norm(layer: str, channels: NDArray[Any], values: dict[str, float]) -> Weights:
    tensors = {f"{layer}.{name}": np.full_like(channels, value) for name, value in values.items()}
    return tensors | {f"{layer}.{BATCH_COUNT}": np.array(0)}


def count_heads(weights: Weights) -> int:
    """Number of heads of which at least one weight is present; missing weights are reported later."""
    return sum(any(name.startswith(f"{head}.") for name in weights) for head in HEADS)


def narrowest_precision(arrays: Weights) -> str:
    """Short name of the narrowest floating-point type of the arrays, "fp32" if there is none."""
    types = {array.dtype.name for array in arrays.values()}
    return next((short for name, short in _PRECISIONS.items() if name in types), "fp32")
