"""One pass over a data set for several readers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import tee

from levit.data.labeled_images import DatasetView, LabeledDataset, LabeledImage


def share_pass(data: LabeledDataset, count: int) -> list[LabeledDataset]:
    """Data sets that can be iterated once each, and read the images of a data set once for all of them.

    An image stays in memory until the last of them has yielded it, so they should be iterated in turns, in one thread.

    Args:
        data: the data set.
        count: number of readers.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> first, second = share_pass(open_data("examples"), 2)
        >>> [(one.name, other.name) for one, other in zip(first, second)][0]
        ('cat.jpg', 'cat.jpg')
    """
    if count == 1:
        return [data]
    return [_SharedPass(data, images) for images in tee(iter(data), count)]


class _SharedPass(DatasetView):
    """One reader of a pass."""

    def __init__(self, data: LabeledDataset, images: Iterator[LabeledImage]) -> None:
        super().__init__(data)
        self._images = images

    def __iter__(self) -> Iterator[LabeledImage]:
        return self._images
