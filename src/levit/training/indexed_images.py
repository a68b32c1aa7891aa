"""Labeled images by number: the files where they are, or their bytes one after another in one file."""

from __future__ import annotations

import io
import os
import warnings
from array import array
from collections.abc import Sequence
from errno import EDQUOT, ENOSPC
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from levit.data.file_list import FileListDataset
from levit.data.labeled_images import LabeledDataset
from levit.errors import DataError, LevitError, LevitWarning
from levit.images.decoding import ImageSource, read_image

_MEASURED = 100  # images, by which all are estimated


class IndexedImages(Protocol):
    """Images by number, each with the labels of the network.

    Attributes:
        classes: the labels of the network.
        is_multi_label: whether an image may have any number of them.
    """

    classes: tuple[str, ...]
    is_multi_label: bool

    def __len__(self) -> int: ...

    def image(self, index: int) -> ImageSource:
        """One as it is stored."""
        ...

    def labels(self, index: int) -> tuple[int, ...]:
        """Its labels."""
        ...

    def name(self, index: int) -> str:
        """What to call it."""
        ...


def index_images(
    data: LabeledDataset, copy: Path, *, classes: tuple[str, ...], places: Sequence[int], writes: bool = True
) -> IndexedImages:
    """Labeled images by number, those without a label left out.

    What is a list of files stays where it is. Of anything else, parquet or tar shards say, the files of the images are
    copied into one file, because learning takes them in another order each time.

    Args:
        data: the images.
        copy: that file.
        classes: the labels of the network.
        places: which of them each class of the data is.
        writes: whether this process writes it; another one only reads the labels, and the copy later.

    Raises:
        DataError: an image has a label out of range or no file, or no image has a label.
    """
    images: IndexedImages
    if isinstance(data, FileListDataset):
        images = _ImageFiles(data, classes, places)
    else:
        images = _pack(data, copy, classes, places, writes=writes)
    labeled = [index for index in range(len(images)) if data.is_multi_label or images.labels(index)]
    if not labeled:
        raise DataError(f"{data.name}: no image has a label: `levit data` shows what is there")
    if len(labeled) == len(images):
        return images
    if writes:
        text = f"{data.name}: left out without a label: {len(images) - len(labeled):,} of {len(images):,} images"
        warnings.warn(text, LevitWarning, stacklevel=2)
    return Selection(images, np.array(labeled))


def needs_copy(data: LabeledDataset) -> bool:
    """Whether `index_images` copies images; all of a large data set take minutes."""
    return not isinstance(data, FileListDataset)


def estimate_copy_bytes(data: LabeledDataset) -> int:
    """About how many bytes `index_images` copies, by the first images; 0 where they stay where they are."""
    if not needs_copy(data):
        return 0
    sizes = [len(_content(item.image, item.name)) for item in islice(data, _MEASURED)]
    return sum(sizes) * len(data) // max(1, len(sizes))


class Selection:
    """Some of the images.

    Args:
        images: all of them.
        chosen: which, by number: int64 [count].
    """

    def __init__(self, images: IndexedImages, chosen: NDArray[np.int64]) -> None:
        self.classes, self.is_multi_label = images.classes, images.is_multi_label
        self._images, self._chosen = images, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def image(self, index: int) -> ImageSource:
        """One as it is stored."""
        return self._images.image(int(self._chosen[index]))

    def labels(self, index: int) -> tuple[int, ...]:
        """Its labels."""
        return self._images.labels(int(self._chosen[index]))

    def name(self, index: int) -> str:
        """What to call it."""
        return self._images.name(int(self._chosen[index]))


class _ImageFiles:
    """Files that stay where they are."""

    def __init__(self, data: FileListDataset, classes: tuple[str, ...], places: Sequence[int]) -> None:
        self.classes, self.is_multi_label = classes, data.is_multi_label
        self._files, self._places = data.files, tuple(places)
        for index in range(len(self._files)):
            _check(self._files.labels(index), len(places), data.name, self._files.name(index))

    def __len__(self) -> int:
        return len(self._files)

    def image(self, index: int) -> ImageSource:
        return self._files.folder / self._files.name(index)

    def labels(self, index: int) -> tuple[int, ...]:
        return tuple(self._places[label] for label in self._files.labels(index))

    def name(self, index: int) -> str:
        return self._files.name(index)


class _PackedImages:
    """The bytes of image files in one file, which all processes share in memory."""

    def __init__(self, file: Path, classes: tuple[str, ...], *, is_multi_label: bool) -> None:
        self.classes, self.is_multi_label = classes, is_multi_label
        self._file, self._ends = file, array("q")
        self._labels: list[tuple[int, ...]] = []
        self._names: list[str] = []
        self._bytes: NDArray[np.uint8] | None = None

    def add(self, size: int, labels: tuple[int, ...], name: str) -> None:
        self._ends.append((self._ends[-1] if self._ends else 0) + size)
        self._labels.append(labels)
        self._names.append(name)

    def __len__(self) -> int:
        return len(self._ends)

    def image(self, index: int) -> ImageSource:
        if self._bytes is None:  # opened in each process: a map of memory is not sent to another
            self._bytes = np.memmap(self._file, np.uint8, mode="r")
        start = self._ends[index - 1] if index else 0
        return self._bytes[start : self._ends[index]].tobytes()

    def labels(self, index: int) -> tuple[int, ...]:
        return self._labels[index]

    def name(self, index: int) -> str:
        return self._names[index]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_bytes": None}


def _pack(
    data: LabeledDataset, file: Path, classes: tuple[str, ...], places: Sequence[int], *, writes: bool
) -> _PackedImages:
    images = _PackedImages(file, classes, is_multi_label=data.is_multi_label)
    partial = file.with_name(f".{file.name}.partial") if writes else Path(os.devnull)
    try:
        with partial.open("wb") as stream:
            for item in data:
                _check(item.labels, len(places), data.name, item.name)
                content = _content(item.image, item.name)
                stream.write(content)
                images.add(len(content), tuple(places[label] for label in item.labels), item.name)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise LevitError(
            f"{file.parent}: cannot be written ({error.strerror}): make room for a copy of the images, or give --out "
            "elsewhere"
        ) from error
    if writes:
        partial.replace(file)
    return images


def _content(image: ImageSource, name: str) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | PathLike):
        try:
            return Path(image).read_bytes()
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror})") from error
    stream = io.BytesIO()
    read_image(image).save(stream, "PNG")
    return stream.getvalue()


def _check(labels: Sequence[int], classes: int, data: str, name: str) -> None:
    strange = [label for label in labels if not 0 <= label < classes]
    if strange:
        raise DataError(
            f"{data}: {name}: label {strange[0]} is none of {classes} classes: `levit data` shows what is there"
        )
