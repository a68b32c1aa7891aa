"""Labeled image and data set of labeled images: the contract of all readers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from levit.errors import DataError
from levit.images.sources import StoredImage


class NoSplitError(DataError):
    """A data set has no split of the requested name."""


class LabeledImage(NamedTuple):
    """Image with labels, not decoded.

    Attributes:
        image: path, content of the image file, or uint8 array [height, width, 3].
        labels: class indices; empty if the image is not labeled.
        name: name of the image in results and errors.
    """

    image: StoredImage
    labels: tuple[int, ...]
    name: str


class LabeledDataset(Protocol):
    """Data set of labeled images, which can be iterated any number of times, always in the same order.

    A reader opens its files when it is constructed, and raises `DataError` if they do not have its format. Iteration is
    lazy and neither decodes images nor checks them: a file may be missing or damaged, and a label may be outside
    `range(len(classes))`. The caller counts such images or raises an error. A value that cannot be a label at all, such
    as 0.7, is a `DataError`; None, NaN and negative numbers mean that an image is not labeled.

    Attributes:
        name: name of the file, folder or data set, in results and errors.
        classes: class names, indexed by labels; empty if the images have no labels.
        is_multi_label: whether an image may show any number of classes, all of which are to be predicted.
        is_any_label_correct: whether one of several labels is enough for a correct prediction (ImageNet-ReaL).
    """

    name: str
    classes: tuple[str, ...]
    is_multi_label: bool
    is_any_label_correct: bool

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __iter__(self) -> Iterator[LabeledImage]:
        """Iterate over the images in order; raises `DataError` if a container file (parquet, tar) is damaged."""
        ...

    def sha256(self) -> str:
        """Hash of the files that were read: 64 hexadecimal digits, equal only for equal images in equal order."""
        ...


class DatasetView:
    """Base class of data sets that read another one; they have its name, classes, flags, number of images and hash.

    Args:
        data: the data set that is read.
    """

    def __init__(self, data: LabeledDataset) -> None:
        self.name, self.classes = data.name, data.classes
        self.is_multi_label, self.is_any_label_correct = data.is_multi_label, data.is_any_label_correct
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def sha256(self) -> str:
        """Hash of the data set that is read."""
        return self._data.sha256()
