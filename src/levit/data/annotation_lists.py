"""A list of files with the number of their class, as mmpretrain keeps it in `meta/val.txt`."""

from __future__ import annotations

from pathlib import Path

from levit.data.class_names import read_class_names
from levit.data.file_list import FileList, FileListDataset
from levit.errors import DataError


def open_annotations(file: Path) -> FileListDataset:
    """Lines `path number`, the paths relative to the folder that holds the images.

    For `data/meta/val.txt` that is `data/val` where it is there, or else `data`; for another list its own folder. The
    names of the classes are the lines of `classes.txt`, `synsets.txt` or `labels.txt` beside the list; without such a
    file a thousand classes are those of ImageNet.

    Raises:
        DataError: a line is no path and number, or the classes have no names.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    files, highest = FileList(_image_folder(file)), -1
    for number, line in enumerate(lines, start=1):
        path, _, label = line.strip().rpartition(" ")
        if line.strip() and not (path and label.isdecimal()):
            raise DataError(f"{file}: line {number} is no path and number: {line.strip()[:80]!r}")
        if path:
            files.add(path.strip(), (int(label),))
            highest = max(highest, int(label))
    if not len(files):
        raise DataError(f"{file}: no lines")
    return FileListDataset(name=file.name, classes=read_class_names(file, 1 + highest), files=files)


def _image_folder(file: Path) -> Path:
    if file.parent.name != "meta":
        return file.parent
    split = file.parent.parent / file.stem
    return split if split.is_dir() else split.parent
