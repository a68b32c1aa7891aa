"""Polarization: an order of the keys in which those that many queries keep come first.

A sparse accelerator computes the first, denser columns of an attention map as a dense product, and the others as a
sparse one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Polarization(NamedTuple):
    """Order of the keys of one attention.

    Attributes:
        key_order: int32 [heads, keys], indices of the keys, the dense ones first.
        num_dense_keys: int32 [heads], how many of them are dense.
    """

    key_order: NDArray[np.int32]
    num_dense_keys: NDArray[np.int32]


def order_keys(mask: NDArray[np.bool_], share: float) -> Polarization:
    """Put the keys that more than a share of the queries keep first; each part stays in its order.

    Args:
        mask: bool [heads, queries, keys], True where the key is kept.
        share: share of the queries, in [0, 1].

    Examples:
        >>> mask = np.array([[[True, False, True], [False, False, True]]])
        >>> order, count = order_keys(mask, 0.5)
        >>> order.tolist(), count.tolist(), mask[0][:, order[0]].tolist()
        ([[2, 0, 1]], [1], [[True, True, False], [True, False, False]])
    """
    is_dense = mask.mean(axis=-2) > share
    order = np.argsort(~is_dense, axis=-1, kind="stable")
    return Polarization(order.astype(np.int32), is_dense.sum(axis=-1).astype(np.int32))
