"""Subsets of labeled data, such as quantization images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import DatasetView, LabeledDataset, LabeledImage

Indices = NDArray[np.int64]


class Subset(DatasetView):
    """Images of a data set that are chosen by their numbers, in the order of the data set.

    Name, classes, flags and hash are those of the whole data set.

    Args:
        data: the whole data set.
        indices: distinct numbers of images, from 0 to `len(data) - 1`.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> [item.name for item in Subset(open_data("examples"), np.array([3, 0]))]
        ['cat.jpg', 'rocket.jpg']
    """

    def __init__(self, data: LabeledDataset, indices: Indices) -> None:
        super().__init__(data)
        self._indices = np.sort(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[LabeledImage]:
        numbers = map(int, self._indices)
        next_number = next(numbers, None)
        for number, item in enumerate(self._data):
            if next_number is None:  # the remaining images are not read
                return
            if number == next_number:
                yield item
                next_number = next(numbers, None)


def evenly_spaced(length: int, count: int) -> Indices:
    """Numbers of evenly spaced images, so that every class is represented where they are ordered class by class.

    Args:
        length: number of images, at least 1.
        count: number of them to choose; limited to `length`.

    Returns:
        The chosen numbers, ascending: int64 [count].

    Examples:
        >>> evenly_spaced(12, 4).tolist()
        [0, 3, 6, 9]
    """
    count = min(count, length)
    return np.arange(count, dtype=np.int64) * length // max(count, 1)


def split_quantization_images(data: LabeledDataset, count: int) -> tuple[Subset, Subset]:
    """Split off the images that determine the ranges of int8 activations: evenly spaced ones.

    Args:
        data: the data set.
        count: number of quantization images; limited to `len(data)`.

    Returns:
        The quantization images and the remaining images.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> chosen, remaining = split_quantization_images(open_data("examples"), 3)
        >>> [item.name for item in chosen], len(remaining)
        (['cat.jpg', 'espresso.jpg', 'officer.jpg'], 1)
    """
    chosen = evenly_spaced(len(data), count)
    return Subset(data, chosen), Subset(data, np.setdiff1d(np.arange(len(data)), chosen))


def without_quantization_images(data: LabeledDataset, count: int) -> LabeledDataset:
    """Data set without the `count` images that `split_quantization_images` chooses; itself if `count` is 0.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> [item.name for item in without_quantization_images(open_data("examples"), 3)]
        ['rocket.jpg']
    """
    return split_quantization_images(data, count)[1] if count else data
