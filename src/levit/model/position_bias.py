"""The translation-invariant attention bias and its offset table (paper, section 4.2).

Every head has one bias for each distance in rows and columns. They are gathered in each forward pass: the
implementations that keep the gathered table go on using it after the biases have changed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from levit.spec.architecture import Grid


def offset_table(grid: Grid, stride: int = 1) -> Tensor:
    """Which bias each query gives each key: int64 [queries, keys].

    The queries are every `stride`-th token of the grid in both directions, the keys all of them. A distance of r rows
    and c columns has the number `r * columns + c`, the order in which the references first meet it.

    Examples:
        >>> offset_table((2, 2)).tolist()
        [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
    """
    rows, columns = (_distances(size, stride) for size in grid)
    table = rows[:, None, :, None] * grid[1] + columns[None, :, None, :]
    return table.reshape(rows.shape[0] * columns.shape[0], grid[0] * grid[1])


def gather_position_bias(attention_biases: Tensor, offsets: Tensor) -> Tensor:
    """[heads, distances], [queries, keys] -> [heads, queries, keys]."""
    return attention_biases[:, offsets]


def _distances(size: int, stride: int) -> Tensor:
    return (torch.arange(0, size, stride)[:, None] - torch.arange(size)).abs()
