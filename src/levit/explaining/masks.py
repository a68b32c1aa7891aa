"""Masks of a grid of cells, by which parts of an image are replaced: windows of occlusion, random masks of RISE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from levit.spec.architecture import Grid

CELLS = 16
"""Rows and columns of the grid."""

WINDOW = 3
"""Rows and columns of cells that a window of occlusion covers."""

_COARSE_CELLS = 7  # of the random masks of RISE, as in its paper
_KEPT = 0.5  # probability that a coarse cell is kept


def cell_edges(pixels: int) -> NDArray[np.int64]:
    """First pixels of the cells along one axis, and the end of the last cell: int64 [CELLS + 1].

    Args:
        pixels: length of the axis.

    Examples:
        >>> cell_edges(112)[:4].tolist()
        [0, 7, 14, 21]
    """
    return np.round(np.linspace(0, pixels, CELLS + 1)).astype(np.int64)


def occlusion_masks() -> NDArray[np.float32]:
    """Windows of 3 x 3 cells at every position: 1 where the image is replaced.

    Returns:
        float32 [196, CELLS, CELLS], 0 or 1.

    Examples:
        >>> occlusion_masks().shape
        (196, 16, 16)
    """
    positions = CELLS - WINDOW + 1
    masks = np.zeros((positions, positions, CELLS, CELLS), np.float32)
    for row in range(positions):
        for column in range(positions):
            masks[row, column, row : row + WINDOW, column : column + WINDOW] = 1
    return masks.reshape(-1, CELLS, CELLS)


def random_masks(count: int, seed: int) -> NDArray[np.float32]:
    """Random masks of RISE (Petsiuk et al., 2018): half of 7 x 7 coarse cells are replaced, with soft edges.

    Args:
        count: number of masks.
        seed: seed of the random numbers.

    Returns:
        float32 [count, CELLS, CELLS] in [0, 1]; 1 where the image is replaced.
    """
    random = np.random.default_rng(seed)
    side = _COARSE_CELLS + 1  # one more, because each mask is shifted by up to a coarse cell
    coarse = (random.random((count, side, side)) >= _KEPT).astype(np.float32)
    shifts = random.random((count, 2))
    rows, columns = (_shifted_weights(shifts[:, axis]) for axis in (0, 1))
    return np.asarray(np.einsum("nik,nkl,njl->nij", rows, coarse, columns), np.float32)


def _shifted_weights(shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear interpolation from coarse cells to cells, shifted by a part of a coarse cell: [N, CELLS, coarse + 1]."""
    positions = (np.arange(CELLS) + 0.5) / CELLS * _COARSE_CELLS - 0.5 + shifts[:, None]
    distances = np.abs(np.clip(positions, 0, _COARSE_CELLS)[..., None] - np.arange(_COARSE_CELLS + 1))
    return np.asarray(np.maximum(1 - distances, 0), np.float64)


def blur(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blur an image so far that neither a window nor its surroundings show a shape, which leaves their colors.

    Args:
        pixels: uint8 [height, width, 3].

    Returns:
        uint8 [height, width, 3].
    """
    radius = min(pixels.shape[:2]) * WINDOW / CELLS
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


def apply_masks(pixels: NDArray[np.uint8], fill: NDArray[np.uint8], masks: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Replace parts of an image.

    Args:
        pixels: the image, uint8 [height, width, 3].
        fill: pixels that replace it, uint8 [height, width, 3].
        masks: float32 [N, CELLS, CELLS] in [0, 1]; 1 where the image is replaced.

    Returns:
        uint8 [N, height, width, 3].
    """
    weights = to_pixels(masks, (pixels.shape[0], pixels.shape[1]))[..., None]
    is_hard = np.isin(masks, (0, 1)).all()
    if is_hard:
        return np.where(weights > 0, fill, pixels)
    image = pixels.astype(np.float32)
    return np.asarray(np.rint(image + weights * (fill.astype(np.float32) - image)), np.uint8)


def to_pixels(masks: NDArray[np.float32], size: Grid) -> NDArray[np.float32]:
    """Repeat the cells of masks over their pixels: float32 [N, CELLS, CELLS] -> [N, height, width]."""
    for axis in (1, 2):
        masks = np.repeat(masks, np.diff(cell_edges(size[axis - 1])), axis=axis)
    return masks
