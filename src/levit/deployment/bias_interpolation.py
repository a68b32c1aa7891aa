"""Adaptation of a checkpoint to another image size by interpolating its attention biases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import ConfigError
from levit.spec.architecture import Grid
from levit.spec.network import attention_blocks
from levit.spec.preprocessing import Preprocessing


def resize_checkpoint(checkpoint: Checkpoint, image_size: Grid) -> Checkpoint:
    """Adapt a checkpoint to another image size.

    The preprocessing keeps the ratio of crop to resized image, and omits the steps that it omitted before. An image
    whose shorter side was resized is resized to exactly the new size if the old or the new one is not square.

    Args:
        checkpoint: result of `levit.read_checkpoint`.
        image_size: height and width in pixels.

    Returns:
        A new checkpoint, or the same object if it already has this size.

    Raises:
        ConfigError: the size is too small for the stem, or the checkpoint has attention masks.

    Examples:
        >>> import levit
        >>> larger = resize_checkpoint(levit.read_checkpoint("tests/golden/tiny/transformers"), (64, 96))
        >>> larger.architecture.image_height_width, larger.preprocessing.crop
        ((64, 96), (64, 96))
    """
    if image_size == checkpoint.architecture.image_height_width:
        return checkpoint
    if checkpoint.architecture.has_attention_masks:
        raise ConfigError(
            "cannot change: the attention masks of the checkpoint are for its own size", source="image_size"
        )
    architecture = replace(checkpoint.architecture, image_size=image_size)
    weights = dict(checkpoint.weights)
    for old, new in zip(attention_blocks(checkpoint.architecture), attention_blocks(architecture), strict=True):
        key = f"{old.key}.attention_biases"
        weights[key] = resize_attention_biases(weights[key], old.input_grid, new.input_grid)
    preprocessing = _resize_preprocessing(checkpoint.preprocessing, image_size)
    return replace(checkpoint, architecture=architecture, weights=weights, preprocessing=preprocessing)


def resize_attention_biases(biases: NDArray[Any], trained: Grid, grid: Grid) -> NDArray[Any]:
    """Interpolate attention biases linearly to another grid, as the network in torch does.

    The biases of distance 0 and of the largest distance are kept.

    Args:
        biases: [heads, trained rows * trained columns], of any floating-point type.
        trained: rows and columns of the keys that the biases were trained for.
        grid: rows and columns of the keys of the new image size.

    Returns:
        [heads, rows * columns], of the same type.

    Examples:
        >>> resize_attention_biases(np.array([[0.0, 1.0, 2.0, 3.0]]), (2, 2), (2, 3)).tolist()
        [[0.0, 0.5, 1.0, 2.0, 2.5, 3.0]]
    """
    table = biases.reshape(-1, *trained).astype(np.float64)
    for axis in (1, 2):
        old, new = trained[axis - 1], grid[axis - 1]
        coordinates = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        lower = np.minimum(coordinates.astype(int), max(old - 2, 0))
        upper = np.minimum(lower + 1, old - 1)
        fraction = np.expand_dims(coordinates - lower, [other for other in range(3) if other != axis])
        table = np.take(table, lower, axis) * (1 - fraction) + np.take(table, upper, axis) * fraction
    return np.asarray(table.reshape(len(biases), -1), biases.dtype)


def _resize_preprocessing(preprocessing: Preprocessing, image_size: Grid) -> Preprocessing:
    resize, old = preprocessing.resize, preprocessing.output_size
    if old is None:
        return preprocessing
    if isinstance(resize, tuple):
        resize = (resize[0] * image_size[0] // old[0], resize[1] * image_size[1] // old[1])
    elif resize is not None:
        is_square = old[0] == old[1] and image_size[0] == image_size[1]
        resize = resize * image_size[0] // old[0] if is_square else image_size
    return replace(preprocessing, resize=resize, crop=preprocessing.crop and image_size)
