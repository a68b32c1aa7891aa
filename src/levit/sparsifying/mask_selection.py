"""Selection of the keys that each query keeps, by the average attention."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from levit.errors import ConfigError

_BISECTIONS = 60


def select_by_mass(
    attention: NDArray[np.float64], mass: float, present: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Keep, for each query, the fewest keys whose attention sums to at least a mass, and one more.

    Keys of equal attention are kept in their order. (ViTCoD's `gen_mask.py`, which leaves that order to the sorting.)

    Args:
        attention: average attention, [..., queries, keys], rows that sum to 1.
        mass: share of the attention to keep, in [0, 1].
        present: bool, of the same shape, False where the key was removed before, whose attention is 0, and stays
            removed; None if no key was.

    Returns:
        bool, of the same shape, True where the key is kept.

    Examples:
        >>> select_by_mass(np.array([[0.1, 0.6, 0.05, 0.25]]), 0.8).tolist()
        [[True, True, False, True]]
    """
    order = np.argsort(-attention, axis=-1, kind="stable")
    sums = np.cumsum(np.take_along_axis(attention, order, axis=-1), axis=-1)
    counts = np.minimum((sums < mass).sum(axis=-1, keepdims=True) + (mass > 0) + 1, attention.shape[-1])
    kept = np.empty(attention.shape, bool)
    np.put_along_axis(kept, order, np.arange(attention.shape[-1]) < counts, axis=-1)
    return kept if present is None else kept & present


def find_mass(
    attention: Mapping[str, NDArray[np.float64]],
    sparsity: float,
    present: Mapping[str, NDArray[np.bool_]] | None = None,
) -> float:
    """Find the largest mass with which all layers together reach a sparsity.

    Args:
        attention: average attention of each layer.
        sparsity: share of all entries that are removed, in [0, 1).
        present: for each layer, as for `select_by_mass`; None if no key was removed before.

    Raises:
        ConfigError: one key for each query would already be more than the entries that remain.

    Examples:
        >>> attention = {"layer": np.array([[0.5, 0.3, 0.1, 0.06, 0.04]])}
        >>> mask = select_by_mass(attention["layer"], find_mass(attention, 0.4))
        >>> mask.tolist()
        [[True, True, True, False, False]]
    """

    def reached(mass: float) -> float:
        masks = [select_by_mass(array, mass, (present or {}).get(key)) for key, array in attention.items()]
        return sparsity_of(masks)

    low, high = 0.0, 1.0
    most = reached(low)
    if most < sparsity:
        reason = f"is {sparsity:g}, but one key for each query leaves a sparsity of {most:.3f}"
        raise ConfigError(reason, source="sparsity", hint=f"use at most {np.floor(1000 * most) / 1000:g}")
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if reached(middle) >= sparsity:
            low = middle
        else:
            high = middle
    return low


def sparsity_of(masks: list[NDArray[np.bool_]]) -> float:
    """Share of the entries of masks that are removed."""
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.size for mask in masks)
