"""Many files without an object for each: names and labels, packed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

from levit.data.labelled import LabelledImage


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

    def __iter__(self) -> Iterator[LabelledImage]:
        for index in range(len(self)):
            name = self.name(index)
            yield LabelledImage(self.folder / name, self.labels(index), name)

    def name(self, index: int) -> str:
        """The name of a file below the folder."""
        start = self._name_ends[index - 1] if index else 0
        return self._names[start : self._name_ends[index]].decode(errors="surrogateescape")

    def labels(self, index: int) -> tuple[int, ...]:
        """Its labels."""
        start = self._label_ends[index - 1] if index else 0
        return tuple(self._labels[start : self._label_ends[index]])
