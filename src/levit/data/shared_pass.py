"""One pass over a data set for several readers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import tee

from levit.data.labeled_images import LabeledDataset, LabeledImage


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


class _SharedPass:
    """One reader of a pass."""

    def __init__(self, data: LabeledDataset, images: Iterator[LabeledImage]) -> None:
        self.name, self.classes, self.is_grouped = data.name, data.classes, data.is_grouped
        self.is_multi_label, self.is_any_label_correct = data.is_multi_label, data.is_any_label_correct
        self._data, self._images = data, images

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[LabeledImage]:
        return self._images

    def sha256(self) -> str:
        """Hash of the whole data set."""
        return self._data.sha256()
