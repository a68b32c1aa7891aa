"""The translation-invariant attention bias and its offset table (paper, section 4.2).

Every head has one bias for each distance in rows and columns. They are gathered in each forward pass: the
implementations that keep the gathered table go on using it after the biases have changed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from levit.spec.architecture import Grid


def offset_table(grid: Grid, stride: int = 1, *, device: torch.device | None = None) -> Tensor:
    """Which bias each query gives each key: int64 [queries, keys].

    The queries are every `stride`-th token of the grid in both directions, the keys all of them. A distance of r rows
    and c columns has the number `r * columns + c`, the order in which the references first meet it.

    Examples:
        >>> offset_table((2, 2)).tolist()
        [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
    """
    rows, columns = (_distances(size, stride, device) for size in grid)
    table = rows[:, None, :, None] * grid[1] + columns[None, :, None, :]
    return table.reshape(rows.shape[0] * columns.shape[0], grid[0] * grid[1])


def gather_position_bias(attention_biases: Tensor, offsets: Tensor) -> Tensor:
    """[heads, distances], [queries, keys] -> [heads, queries, keys]."""
    return attention_biases[:, offsets]


def resize_position_bias(attention_biases: Tensor, trained: Grid, grid: Grid) -> Tensor:
    """The biases for another grid than the trained one, by linear interpolation between distances.

    The distance 0 stays 0 and the largest distance stays the largest, in rows and in columns, so that a network sees
    an image of another size as the same image with more or fewer tokens. For the trained grid this is the identity.

    Args:
        attention_biases: [heads, trained rows * trained columns].
        trained: rows and columns of the keys that the biases were trained for.
        grid: rows and columns of the keys that are wanted.

    Returns:
        [heads, rows * columns].

    Examples:
        >>> resize_position_bias(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), (2, 2), (2, 3)).tolist()
        [[0.0, 0.5, 1.0, 2.0, 2.5, 3.0]]
    """
    if grid == trained:
        return attention_biases
    table = attention_biases.view(1, -1, *trained)
    return functional.interpolate(table, size=grid, mode="bilinear", align_corners=True)[0].flatten(1)


def _distances(size: int, stride: int, device: torch.device | None) -> Tensor:
    places = torch.arange(size, device=device)
    return (places[::stride, None] - places).abs()
