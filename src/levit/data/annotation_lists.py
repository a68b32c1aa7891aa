"""Annotation files of mmpretrain (`meta/val.txt`): lines of an image path and a class index."""

from __future__ import annotations

from pathlib import Path

from levit.data.class_names import read_class_names
from levit.data.file_list import FileList, FileListDataset
from levit.errors import DataError, first_line


def open_annotations(file: Path) -> FileListDataset:
    """Open lines `path index`, with paths relative to the folder of the images.

    The folder of the images is `data/val` for `data/meta/val.txt`, or `data` if that does not exist, and the folder of
    the file for any other file. For class names see `read_class_names`.

    Raises:
        DataError: a line is not a path and an index, there are no lines, or the classes have no names.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read ({first_line(error)})", source=file) from error
    files, max_label = FileList(_image_folder(file)), -1
    for number, line in enumerate(lines, start=1):
        path, _, label = line.strip().rpartition(" ")
        if line.strip() and not (path and label.isdecimal()):
            raise DataError(f"line {number} is not a path and a class index: {line.strip()[:80]!r}", source=file)
        if path:
            files.add(path.strip(), (int(label),))
            max_label = max(max_label, int(label))
    if not len(files):
        raise DataError("no lines", source=file)
    return FileListDataset(name=file.name, classes=read_class_names(file, max_label + 1), files=files)


def _image_folder(file: Path) -> Path:
    if file.parent.name != "meta":
        return file.parent
    split = file.parent.parent / file.stem
    return split if split.is_dir() else split.parent
