"""A checkpoint for another image size: the same weights, the attention biases interpolated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Checkpoint
from levit.spec.architecture import Grid
from levit.spec.blocks import AttentionBlock, encoder_blocks
from levit.spec.preprocessing import Preprocessing


def resize_checkpoint(checkpoint: Checkpoint, image_size: Grid) -> Checkpoint:
    """The checkpoint for images of another height and width; the same one where they are the trained ones.

    Preprocessing keeps the share of the image that the crop shows; a size that is not square is resized to exactly.

    Args:
        checkpoint: what `levit.read_checkpoint` gives.
        image_size: height and width in pixels.

    Raises:
        ConfigError: the size is too small for the stem.

    Examples:
        >>> import levit
        >>> larger = resize_checkpoint(levit.read_checkpoint("tests/golden/tiny/transformers"), (64, 96))
        >>> larger.architecture.image_height_width, larger.preprocessing.crop
        ((64, 96), (64, 96))
    """
    if image_size == checkpoint.architecture.image_height_width:
        return checkpoint
    architecture = replace(checkpoint.architecture, image_size=image_size)
    weights = dict(checkpoint.weights)
    for old, new in zip(encoder_blocks(checkpoint.architecture), encoder_blocks(architecture), strict=True):
        if isinstance(old, AttentionBlock) and isinstance(new, AttentionBlock):
            key = f"{old.key}.attention_biases"
            weights[key] = resize_attention_biases(weights[key], old.input_grid, new.input_grid)
    preprocessing = _resize_preprocessing(checkpoint.preprocessing, image_size)
    return replace(checkpoint, architecture=architecture, weights=weights, preprocessing=preprocessing)


def resize_attention_biases(biases: NDArray[Any], trained: Grid, grid: Grid) -> NDArray[Any]:
    """The biases for another grid, interpolated linearly as by the network in torch: 0 and the largest distance stay.

    Args:
        biases: [heads, trained rows * trained columns].
        trained: rows and columns of the keys that the biases were trained for.
        grid: rows and columns of the keys that are wanted.

    Returns:
        [heads, rows * columns].

    Examples:
        >>> resize_attention_biases(np.array([[0.0, 1.0, 2.0, 3.0]]), (2, 2), (2, 3)).tolist()
        [[0.0, 0.5, 1.0, 2.0, 2.5, 3.0]]
    """
    table = biases.reshape(-1, *trained).astype(np.float64)
    for axis in (1, 2):
        places = np.linspace(0, trained[axis - 1] - 1, grid[axis - 1]) if grid[axis - 1] > 1 else np.zeros(1)
        below = np.minimum(places.astype(int), max(trained[axis - 1] - 2, 0))
        above = np.minimum(below + 1, trained[axis - 1] - 1)
        share = (places - below).reshape([-1 if one == axis else 1 for one in range(3)])
        table = np.take(table, below, axis) * (1 - share) + np.take(table, above, axis) * share
    return np.asarray(table.reshape(len(biases), -1), biases.dtype)


def _resize_preprocessing(preprocessing: Preprocessing, image_size: Grid) -> Preprocessing:
    resize, crop = preprocessing.resize, preprocessing.crop
    if isinstance(resize, int) and crop is not None and image_size[0] == image_size[1] and crop[0] == crop[1]:
        return replace(preprocessing, resize=int(resize * image_size[0] / crop[0]), crop=image_size)
    return replace(preprocessing, resize=image_size, crop=image_size)
