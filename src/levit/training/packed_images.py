"""Packed images: the bytes of many image files in one memory-mapped file, for random access by all processes."""

from __future__ import annotations

import io
import os
from array import array
from collections.abc import Iterable
from contextlib import nullcontext
from errno import EDQUOT, ENOSPC
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.data.file_hash import read_content
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import DataError, LevitError
from levit.files import replacing
from levit.images.decoding import ImageSource, read_image

_NUM_SAMPLES = 100  # images from whose sizes the size of a copy is estimated


class PackedImages:
    """Image files in one memory-mapped file, with their labels and names in memory.

    Args:
        file: the packed file; it is opened when the first image is read.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._ends = file, array("q")
        self._labels: list[tuple[int, ...]] = []
        self._names: list[str] = []
        self._bytes: NDArray[np.uint8] | None = None

    def add(self, size: int, labels: tuple[int, ...], name: str) -> None:
        """Register the next image of the file: its size in bytes, labels and name."""
        self._ends.append((self._ends[-1] if self._ends else 0) + size)
        self._labels.append(labels)
        self._names.append(name)

    def __len__(self) -> int:
        return len(self._ends)

    def image(self, index: int) -> bytes:
        """Return the bytes of an image file."""
        if self._bytes is None:  # each process opens the file: a memory map cannot be pickled
            self._bytes = np.memmap(self._file, np.uint8, mode="r")
        start = self._ends[index - 1] if index else 0
        return self._bytes[start : self._ends[index]].tobytes()

    def labels(self, index: int) -> tuple[int, ...]:
        """Return the class indices of an image."""
        return self._labels[index]

    def name(self, index: int) -> str:
        """Return the name of an image."""
        return self._names[index]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_bytes": None}


def pack_images(items: Iterable[LabeledImage], file: Path, *, writes: bool = True) -> PackedImages:
    """Copy labeled images into one file.

    Args:
        items: the images; those that are not files, such as arrays, become PNG files.
        file: the packed file.
        writes: whether this process writes it; otherwise only sizes, labels and names are read.

    Raises:
        DataError: an image file cannot be read.
        LevitError: the disk is full.
    """
    images = PackedImages(file)
    try:
        with (
            replacing(file) if writes else nullcontext(Path(os.devnull)) as partial,
            partial.open("wb") as stream,
        ):
            for item in items:
                content = _read_bytes(item.image, item.name)
                stream.write(content)
                images.add(len(content), item.labels, item.name)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise LevitError(
            f"cannot be written ({error.strerror})",
            source=file.parent,
            hint="make room for a copy of the images, or choose another `out`",
        ) from error
    return images


def estimate_packed_size(data: LabeledDataset) -> int:
    """Estimate the size of a packed file in bytes, from the first images."""
    sizes = [len(_read_bytes(item.image, item.name)) for item in islice(data, _NUM_SAMPLES)]
    return sum(sizes) * len(data) // max(1, len(sizes))


def _read_bytes(image: ImageSource, name: str) -> bytes:
    """The bytes of an image file."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, str | PathLike):
        try:
            return read_content(Path(image))
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror})", source=name) from error
    stream = io.BytesIO()
    read_image(image).save(stream, "PNG")
    return stream.getvalue()
