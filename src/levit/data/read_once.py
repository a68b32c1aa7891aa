"""Data set whose files are read once: one pass gives the content of the images and the hashes of all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from os import PathLike

from PIL import Image

from levit.data.duplicates import ContentHash
from levit.data.file_content import read_content
from levit.data.file_list import FileListDataset
from levit.data.labeled_images import DatasetView, LabeledDataset, LabeledImage
from levit.images.sources import StoredImage

_BATCH_SIZE = 64
_HASH_BYTES = 32
_NUM_THREADS = 4  # reading waits for the disk, and takes little of a core
_NOT_READ, _READ, _UNREADABLE = range(3)


def read_once(data: LabeledDataset) -> LabeledDataset:
    """A data set of files as a `ReadOnceDataset`; another data set as it is.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> type(read_once(open_data("examples"))).__name__
        'ReadOnceDataset'
    """
    return ReadOnceDataset(data, threads=_NUM_THREADS) if isinstance(data, FileListDataset) else data


class ReadOnceDataset(DatasetView):
    """Data set that yields the content of files instead of their paths, and keeps their hashes.

    After a pass over all images, `sha256` and `hashes` need no file of a list of files (folders, tables) again. The
    memory per image is 33 bytes and its name.

    Args:
        data: the data set.
        threads: number of files that are read at once.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> photos = ReadOnceDataset(open_data("examples"))
        >>> all(isinstance(item.image, bytes) for item in photos), photos.sha256() == open_data("examples").sha256()
        (True, True)
    """

    def __init__(self, data: LabeledDataset, *, threads: int = 1) -> None:
        super().__init__(data)
        self._threads = threads
        self._hashes, self._states = bytearray(_HASH_BYTES * len(data)), bytearray(len(data))
        self._names: list[str] = []

    def __iter__(self) -> Iterator[LabeledImage]:
        items, index = iter(self._data), 0
        with ThreadPoolExecutor(self._threads, thread_name_prefix="levit-read") as pool:
            while batch := list(islice(items, _BATCH_SIZE)):
                for item, (image, digest) in zip(batch, pool.map(_read, batch), strict=True):
                    self._record(index, item.name, digest)
                    yield item._replace(image=image)
                    index += 1

    def sha256(self) -> str:
        """Hash of the data set that was given; its files that were read are not read again."""
        return self._sha256

    def hashes(self) -> LabeledDataset:
        """The data set with `levit.data.duplicates.ContentHash` for images; reads those that were not read before."""
        for _ in self if _NOT_READ in self._states else ():
            pass
        return _HashedDataset(self)

    @cached_property
    def _sha256(self) -> str:
        if not isinstance(self._data, FileListDataset):
            return self._data.sha256()
        files, digest = self._data.files, hashlib.sha256()
        for index in range(len(files)):
            name = files.name(index)
            if self._states[index] == _NOT_READ:
                self._record(index, name, _read(LabeledImage(files.folder / name, (), name))[1])
            digest.update(name.encode(errors="surrogateescape") + b"\0")
            digest.update(self.content_hash(index))
        return digest.hexdigest()

    def content_hash(self, index: int) -> bytes:
        """SHA-256 of the content of an image that was read; empty for one that cannot be read."""
        is_read = self._states[index] == _READ
        return bytes(self._hashes[_HASH_BYTES * index : _HASH_BYTES * (index + 1)]) if is_read else b""

    def image_name(self, index: int) -> str:
        """Name of an image that was read."""
        return self._names[index]

    def _record(self, index: int, name: str, digest: bytes) -> None:
        if index == len(self._names):
            self._names.append(name)
        self._states[index] = _READ if digest else _UNREADABLE
        if digest:
            self._hashes[_HASH_BYTES * index : _HASH_BYTES * (index + 1)] = digest


class _HashedDataset(DatasetView):
    """A data set that was read, with hashes for images."""

    def __init__(self, data: ReadOnceDataset) -> None:
        super().__init__(data)
        self._read = data

    def __iter__(self) -> Iterator[LabeledImage]:
        for index in range(len(self)):
            content_hash = ContentHash(self._read.content_hash(index))
            yield LabeledImage(content_hash, (), self._read.image_name(index))


def _read(item: LabeledImage) -> tuple[StoredImage, bytes]:
    """Content and hash of an image; the image as it is and no hash if it cannot be read."""
    image = item.image
    if isinstance(image, str | PathLike):
        try:
            image = read_content(image)
        except OSError:
            return image, b""
    if isinstance(image, Image.Image):
        return image, b""
    return image, hashlib.sha256(image if isinstance(image, bytes) else image.tobytes()).digest()
