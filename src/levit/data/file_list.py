"""Many files without an object for each: names and labels, packed; and labeled images that are such files."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from levit.data.labeled_images import LabeledImage


class FileList:
    """Files below a folder, each with its labels, in the order in which they are added.

    A file takes its relative name, and 16 bytes more. Paths are made when they are asked for.

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
        """Append a file by its name below the folder."""
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
        """The name of a file below the folder."""
        start = self._name_ends[index - 1] if index else 0
        return self._names[start : self._name_ends[index]].decode(errors="surrogateescape")

    def labels(self, index: int) -> tuple[int, ...]:
        """Its labels."""
        start = self._label_ends[index - 1] if index else 0
        return tuple(self._labels[start : self._label_ends[index]])

    def sha256(self) -> str:
        """Of the names and contents of the files, in order; of one that cannot be read of its name."""
        digest = hashlib.sha256()
        for index in range(len(self)):
            name = self.name(index)
            digest.update(name.encode(errors="surrogateescape") + b"\0")
            with suppress(OSError), (self.folder / name).open("rb") as stream:  # whoever judges it counts and names it
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


@dataclass(kw_only=True)
class FileListDataset:
    """Labeled images that are files in a list; see `levit.data.labeled_images.LabeledDataset`."""

    name: str
    classes: tuple[str, ...] = field(repr=False)
    files: FileList = field(repr=False)
    is_multi_label: bool = False
    is_any_label_correct: bool = False
    is_grouped: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self.files)

    def sha256(self) -> str:
        """Of the files' names and contents, in order."""
        return self.files.sha256()
