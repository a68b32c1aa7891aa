"""Packed images: the bytes of many image files in one memory-mapped file, for random access by all processes."""

from __future__ import annotations

import io
import warnings
from array import array
from collections.abc import Iterable
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from functools import cached_property
from itertools import islice, pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.data.file_content import read_content
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import DataError, LevitError, LevitWarning
from levit.files import replacing
from levit.images.decoding import ImageSource, read_image

_INDEX_SUFFIX = ".index"
_NUM_SAMPLES = 100  # images from whose sizes the size of a copy is estimated


class PackedImages:
    """Image files in one memory-mapped file, with their labels and names in another one beside it.

    A process opens both when it needs them, so that a pickled object is only the path.

    Args:
        file: the packed file, which `pack_images` wrote.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def __len__(self) -> int:
        return len(self._index.ends)

    def image(self, index: int) -> bytes:
        """Return the bytes of an image file."""
        return self.view(index).tobytes()

    def view(self, index: int) -> memoryview:
        """Return the bytes of an image file, of which only those that are used are read."""
        return _part(self._bytes, self._index.ends, index).data

    def labels(self, index: int) -> tuple[int, ...]:
        """Return the class indices of an image."""
        return tuple(_part(self._index.labels, self._index.label_ends, index).tolist())

    def name(self, index: int) -> str:
        """Return the name of an image."""
        return _part(self._index.names, self._index.name_ends, index).tobytes().decode(errors="surrogatepass")

    def __getstate__(self) -> dict[str, Any]:
        return {"_file": self._file}  # a memory map cannot be pickled

    @cached_property
    def _bytes(self) -> NDArray[np.uint8]:
        if not self._file.stat().st_size:  # an empty file cannot be mapped
            return np.empty(0, np.uint8)
        return np.asarray(np.memmap(self._file, np.uint8, mode="r"))  # slices of a plain array are faster

    @cached_property
    def _index(self) -> _Index:
        return _Index.open(_index_file(self._file))


class _Index:
    """Ends of image files, labels and names in the packed file, and the labels and names.

    The file has the number of images and of labels, the arrays of int64 in the order below, and the names in UTF-8.
    """

    def __init__(self) -> None:
        self.ends: Any = array("q")
        self.label_ends: Any = array("q")
        self.name_ends: Any = array("q")
        self.labels: Any = array("q")
        self.names: Any = bytearray()

    def add(self, size: int, labels: tuple[int, ...], name: str) -> None:
        """Add the next image of the file: its size in bytes, labels and name."""
        self.labels.extend(labels)
        self.names += name.encode(errors="surrogatepass")
        self.ends.append((self.ends[-1] if self.ends else 0) + size)
        self.label_ends.append(len(self.labels))
        self.name_ends.append(len(self.names))

    def write(self, file: Path) -> None:
        """Write the file, complete or absent."""
        with replacing(file) as partial, partial.open("wb") as stream:
            for part in (
                array("q", [len(self.ends), len(self.labels)]),
                self.ends, self.label_ends, self.name_ends, self.labels, self.names,
            ):  # fmt: skip
                stream.write(part)

    @classmethod
    def open(cls, file: Path) -> _Index:
        """Map a file into memory, which all processes of the machine then share.

        Raises:
            DataError: there is no such file.
        """
        try:
            content, index = np.asarray(np.memmap(file, np.uint8, mode="r")), cls()
        except FileNotFoundError as error:
            hint = "give an `out` on a disk that all machines share"
            raise DataError("missing on the machine of this process", source=file, hint=hint) from error
        count, num_labels = content[:16].view(np.int64).tolist()
        sections = np.cumsum([2, count, count, count, num_labels]) * 8
        index.ends, index.label_ends, index.name_ends, index.labels = (
            content[start:end].view(np.int64) for start, end in pairwise(sections)
        )
        index.names = content[sections[-1] :]
        return index


def _index_file(file: Path) -> Path:
    return file.with_name(file.name + _INDEX_SUFFIX)


def _part(content: NDArray[Any], ends: NDArray[np.int64], index: int) -> NDArray[Any]:
    """The part of an array that belongs to an image."""
    return content[ends[index - 1] if index else 0 : ends[index]]


def pack_images(items: Iterable[LabeledImage], file: Path) -> PackedImages:
    """Copy labeled images into one file, and write an index of their labels and names beside it.

    The index is written last, so that the packed file is complete where there is an index.

    Args:
        items: the images; those that are not files, such as arrays, become PNG files. A file that cannot be read is
            empty in the copy, with a warning that names the first one, so that training treats it as an unreadable
            image.
        file: the packed file.

    Raises:
        LevitError: the disk is full.
    """
    index, unreadable = _Index(), list[DataError]()
    try:
        with replacing(file) as partial, partial.open("wb") as stream:
            for item in items:
                try:
                    content = _read_bytes(item.image, item.name)
                except DataError as error:
                    content = b""
                    unreadable.append(error)
                stream.write(content)
                index.add(len(content), item.labels, item.name)
            _index_file(file).unlink(missing_ok=True)  # of an earlier copy
        index.write(_index_file(file))
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise LevitError(
            f"cannot be written ({error.strerror})",
            source=file.parent,
            hint="make room for a copy of the images, or choose another `out`",
        ) from error
    if unreadable:
        others = f", and {len(unreadable) - 1:,} more" if len(unreadable) > 1 else ""
        warnings.warn(f"{unreadable[0]}{others}", LevitWarning, stacklevel=2)
    return PackedImages(file)


def estimate_packed_size(data: LabeledDataset) -> int:
    """Estimate the size of a packed file in bytes, from the first images."""
    size = count = 0
    for count, item in enumerate(islice(data, _NUM_SAMPLES), start=1):  # noqa: B007
        with suppress(DataError):  # `pack_images` reports it
            size += len(_read_bytes(item.image, item.name))
    return size * len(data) // max(1, count)


def _read_bytes(image: ImageSource, name: str) -> bytes:
    """The bytes of an image file.

    Raises:
        DataError: it cannot be read.
    """
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
