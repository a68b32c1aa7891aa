"""Labeled images, wherever they are: what every reader gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from levit.errors import DataError
from levit.images.decoding import ImageSource


class NoSplitError(DataError):
    """The data has no part of this name."""


class LabeledImage(NamedTuple):
    """One image as it is stored.

    Attributes:
        image: its path, or the bytes of its file.
        labels: the indices of its classes: none where nobody labeled it, several where several are right.
        name: what to call it.
    """

    image: ImageSource
    labels: tuple[int, ...]
    name: str


def label_indices(value: Any) -> tuple[int, ...]:
    """What a column of labels has in a row, as indices: no label is none, or a negative number.

    Examples:
        >>> label_indices(2), label_indices([0, 3]), label_indices(-1), label_indices(None)
        ((2,), (0, 3), (), ())
    """
    values = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(int(one) for one in values if one >= 0)


class LabeledDataset(Protocol):
    """Images with labels that can be gone through any number of times.

    Attributes:
        name: of the file or folder.
        classes: the names that labels are indices of; empty where there are no labels.
        is_multi_label: whether an image may show any number of classes, all of which are to be found.
        is_any_label_correct: whether of several labels one is enough (ImageNet-ReaL).
        is_grouped: whether the images come class by class, so that the first of them are of few classes only.
    """

    name: str
    classes: tuple[str, ...]
    is_multi_label: bool
    is_any_label_correct: bool
    is_grouped: bool

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabeledImage]: ...

    def sha256(self) -> str:
        """Of what was read, so that a measurement can be told from one on other data."""
        ...
