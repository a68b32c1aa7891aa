"""Attention bias, a trained scalar per head and distance of two tokens, and its offset table (paper, section 4.2).

The distance counts rows and columns without sign. The biases are gathered in each forward pass, because
a cached table would be stale after the biases have changed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from levit.spec.architecture import Grid


def offset_table(grid: Grid, stride: int = 1, *, device: torch.device | None = None) -> Tensor:
    """Index of the bias between each query and each key.

    The keys are all tokens of the grid, the queries every `stride`-th of them in both directions. The distance of r
    rows and c columns has the index `r * columns + c`, the order of the biases in the checkpoints of all references.

    Args:
        grid: rows and columns of the keys.
        stride: distance of the tokens that are queries, in rows and in columns.
        device: of the result.

    Returns:
        int64 [queries, keys].

    Examples:
        >>> offset_table((2, 2)).tolist()
        [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]
    """
    rows, columns = (_distances(size, stride, device) for size in grid)
    table = rows[:, None, :, None] * grid[1] + columns[None, :, None, :]
    return table.reshape(rows.shape[0] * columns.shape[0], grid[0] * grid[1])


def gather_attention_biases(attention_biases: Tensor, offsets: Tensor) -> Tensor:
    """Bias of each head between each query and each key.

    Args:
        attention_biases: [heads, distances].
        offsets: int64 [queries, keys], from `offset_table`.

    Returns:
        [heads, queries, keys].
    """
    return attention_biases[:, offsets]


def resize_attention_biases(attention_biases: Tensor, trained: Grid, grid: Grid) -> Tensor:
    """Interpolate attention biases linearly for another grid than the trained one.

    Distance 0 maps to distance 0 and the largest distance to the largest, in rows and in columns: an image of another
    size is treated as the same image with more or fewer tokens. For the trained grid this is the identity.

    Args:
        attention_biases: [heads, trained rows * trained columns].
        trained: rows and columns of the keys that the biases were trained for.
        grid: rows and columns of the keys of the result.

    Returns:
        [heads, rows * columns], of the same dtype.

    Examples:
        >>> resize_attention_biases(torch.tensor([[0.0, 1.0, 2.0, 3.0]]), (2, 2), (2, 3)).tolist()
        [[0.0, 0.5, 1.0, 2.0, 2.5, 3.0]]
    """
    if grid == trained:
        return attention_biases
    table = attention_biases.view(1, -1, *trained)
    return functional.interpolate(table, size=grid, mode="bilinear", align_corners=True)[0].flatten(1)


def _distances(size: int, stride: int, device: torch.device | None) -> Tensor:
    positions = torch.arange(size, device=device)
    return (positions[::stride, None] - positions).abs()
