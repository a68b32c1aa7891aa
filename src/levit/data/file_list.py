"""Compact list of labeled image files, and the data set that consists of them."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from levit.data.file_content import read_content
from levit.data.labeled_images import LabeledImage
from levit.data.record_values import describe
from levit.errors import DataError

_Labels = TypeVar("_Labels")


class FileList:
    """Files below a folder with their labels, in the order in which they are added.

    Names and labels are packed into arrays: a file with one label takes the bytes of its relative name and 20 bytes
    more. Path objects are created on access.

    Args:
        folder: folder that the names are relative to.

    Examples:
        >>> files = FileList(Path("photos"))
        >>> files.add("cat/1.jpg", (0,))
        >>> [(item.image.as_posix(), item.labels) for item in files]
        [('photos/cat/1.jpg', (0,))]
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = bytearray()
        self._name_ends = array("Q")
        self._labels = array("i")
        self._label_ends = array("Q")

    def add(self, name: str, labels: Sequence[int]) -> None:
        """Append a file by its name relative to the folder, with its class indices."""
        self._names += name.encode(errors="surrogateescape")
        self._name_ends.append(len(self._names))
        self._labels.extend(labels)
        self._label_ends.append(len(self._labels))

    def __len__(self) -> int:
        return len(self._name_ends)

    def __iter__(self) -> Iterator[LabeledImage]:
        for index in range(len(self)):
            name = self.name(index)
            yield LabeledImage(self.folder / name, self.labels(index), name)

    def name(self, index: int) -> str:
        """Name of a file relative to the folder."""
        start = self._name_ends[index - 1] if index else 0
        return self._names[start : self._name_ends[index]].decode(errors="surrogateescape")

    def labels(self, index: int) -> tuple[int, ...]:
        """Class indices of a file."""
        start = self._label_ends[index - 1] if index else 0
        return tuple(self._labels[start : self._label_ends[index]])

    def sha256(self) -> str:
        """Hash of the names and contents of the files, in order; a file that cannot be read counts by its name."""
        digest = hashlib.sha256()
        for index in range(len(self)):
            name = self.name(index)
            digest.update(name.encode(errors="surrogateescape") + b"\0")
            with suppress(OSError):
                digest.update(hashlib.sha256(read_content(self.folder / name)).digest())
        return digest.hexdigest()


@dataclass(kw_only=True)
class FileListDataset:
    """Data set of the files of a list; see `levit.data.labeled_images.LabeledDataset` for the other attributes.

    Attributes:
        files: the files, with random access to their names and labels.
        is_class_folder: whether every folder in the folder of the files is a class.
    """

    name: str
    classes: tuple[str, ...] = field(repr=False)
    files: FileList = field(repr=False)
    is_multi_label: bool = False
    is_any_label_correct: bool = False
    is_class_folder: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self.files)

    def sha256(self) -> str:
        """Hash of the names and contents of the files, in order."""
        return self.files.sha256()


def check_labels_agree(name: str, labels: _Labels, listed: dict[str, _Labels]) -> None:
    """Check that an image which is listed more than once has the same labels each time, and add it to those listed.

    A repeated row only gives the image more weight. With other labels it would be two images that contradict each
    other.

    Args:
        name: name of the image.
        labels: its labels in this record.
        listed: labels of the images of the records before, by name.

    Raises:
        DataError: it is listed with other labels.
    """
    if listed.setdefault(name, labels) != labels:
        hint = "list it once; a metadata.csv separates several labels by | in the column `labels`"
        raise DataError(f"{describe(name)} is listed before with another label", hint=hint)
