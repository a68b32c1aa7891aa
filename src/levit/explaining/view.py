"""The part of an image that the network sees: the central crop, in pixels of the image itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levit.images.transform import resized_size
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing


@dataclass(frozen=True)
class View:
    """Rectangle of an image, in pixels of the upright image; it exceeds the image where the crop is padded.

    Attributes:
        top: distance of the upper edge from that of the image.
        left: distance of the left edge from that of the image.
        height: height of the rectangle.
        width: width of the rectangle.
    """

    top: float
    left: float
    height: float
    width: float

    @classmethod
    def of_image(cls, size: Grid, preprocessing: Preprocessing) -> View:
        """The view of the network on an image.

        Args:
            size: height and width of the upright image in pixels.
            preprocessing: resizing and crop of the model.

        Examples:
            >>> View.of_image((480, 640), Preprocessing.for_image_size((224, 224)))
            View(top=30.0, left=108.85..., height=420.0, width=420.41...)
        """
        resized = resized_size(*size, preprocessing.resize) if preprocessing.resize is not None else size
        crop = preprocessing.crop or resized
        scales = [size[axis] / resized[axis] for axis in (0, 1)]
        starts = [(resized[axis] - crop[axis]) // 2 * scales[axis] for axis in (0, 1)]
        return cls(starts[0], starts[1], crop[0] * scales[0], crop[1] * scales[1])

    def scaled(self, vertical: float, horizontal: float) -> View:
        """The same rectangle of an image that was resized by two factors."""
        return View(self.top * vertical, self.left * horizontal, self.height * vertical, self.width * horizontal)

    def to_image(self, values: NDArray[np.float32], size: Grid) -> NDArray[np.float32]:
        """Interpolate values on a grid over the view to the pixels of the image.

        Args:
            values: float32 [rows, columns]; the cells divide the view evenly, and a value belongs to the center of
                its cell.
            size: height and width of the image in pixels.

        Returns:
            float32 [height, width], interpolated linearly, and 0 outside the view, where the network sees nothing.
        """
        rows = _weights(size[0], self.top, self.height, values.shape[0])
        columns = _weights(size[1], self.left, self.width, values.shape[1])
        return np.asarray(rows @ values.astype(np.float32) @ columns.T, np.float32)


def _weights(pixels: int, start: float, length: float, cells: int) -> NDArray[np.float32]:
    """Linear interpolation along one axis, from cells to pixels: float32 [pixels, cells], rows of 0 outside."""
    centers = np.arange(pixels) + 0.5
    positions = np.clip((centers - start) / length * cells - 0.5, 0, cells - 1)
    lower = np.minimum(positions.astype(int), max(cells - 2, 0))
    fraction = positions - lower
    weights = np.zeros((pixels, cells), np.float32)
    weights[np.arange(pixels), lower] = 1 - fraction
    if cells > 1:
        weights[np.arange(pixels), lower + 1] = fraction
    weights[(centers < start) | (centers > start + length)] = 0
    return weights
