"""A list of files with the number of their class, as mmpretrain keeps it in `meta/val.txt`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from levit.data.class_names import read_class_names
from levit.data.file_list import FileList
from levit.data.folder import hash_files
from levit.data.labelled import LabelledImage
from levit.errors import DataError


class AnnotationList:
    """Lines `path number`, the paths relative to the folder that holds the images.

    For `data/meta/val.txt` that is `data/val` where it is there, or else `data`; for another list its own folder. The
    names of the classes are the lines of `classes.txt`, `synsets.txt` or `labels.txt` beside the list; without such a
    file a thousand classes are those of ImageNet.

    Raises:
        DataError: a line is no path and number, or the classes have no names.
    """

    is_multi_label = any_is_right = is_grouped = False

    def __init__(self, file: Path) -> None:
        self.name = file.name
        self._files = FileList(_image_folder(file))
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: cannot be read ({error})") from error
        for number, line in enumerate(lines, start=1):
            path, _, label = line.strip().rpartition(" ")
            if line.strip() and not (path and label.isdecimal()):
                raise DataError(f"{file}: line {number} is no path and number: {line.strip()[:80]!r}")
            if path:
                self._files.add(path.strip(), (int(label),))
        if not len(self._files):
            raise DataError(f"{file}: no lines")
        self.classes = read_class_names(file, 1 + max(max(item.labels) for item in self._files))

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self._files)

    def sha256(self) -> str:
        """Of the files' names and contents, in order."""
        return hash_files(self._files)


def _image_folder(file: Path) -> Path:
    if file.parent.name != "meta":
        return file.parent
    split = file.parent.parent / file.stem
    return split if split.is_dir() else split.parent
