"""Annotation files of mmpretrain (`meta/val.txt`): lines of an image path and a class index."""

from __future__ import annotations

from pathlib import Path

from levit.data.class_names import read_class_names
from levit.data.file_list import FileList, FileListDataset, check_labels_agree
from levit.data.record_values import file_name, in_record, label_index_in_text, read_text
from levit.errors import DataError


def open_annotations(file: Path, *, allow_outside: bool = False) -> FileListDataset:
    """Open lines `path index`, with paths relative to the folder of the images.

    The folder of the images is `data/val` for `data/meta/val.txt`, or `data` if that does not exist, and the folder of
    the file for any other file. For class names see `read_class_names`. The index -1 means that there is no label.

    Args:
        file: file of lines.
        allow_outside: whether paths may lead out of the folder of the images.

    Raises:
        DataError: a line is not a path and an index, or lists an image again with another index, there are no lines, or
            the classes have no names.
    """
    folder = _image_folder(file)
    files, max_label, listed = FileList(folder), -1, dict[str, int | None]()
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        if not line.strip():
            continue
        path, *label = line.strip().rsplit(maxsplit=1)
        try:
            index = label_index_in_text(label[0] if label else "")
        except DataError:
            reason = f"line {number} is not a path and a class index: {line.strip()[:80]!r}"
            raise DataError(reason, source=file) from None
        try:
            name = file_name(path.strip(), folder, allow_outside=allow_outside)
            check_labels_agree(name, index, listed)
        except DataError as error:
            raise in_record(error, file, f"line {number}") from None
        files.add(name, () if index is None else (index,))
        max_label = max(max_label, -1 if index is None else index)
    if not len(files):
        raise DataError("no lines", source=file)
    classes = read_class_names(file, max_label + 1) if max_label >= 0 else ()
    return FileListDataset(name=file.name, classes=classes, files=files)


def _image_folder(file: Path) -> Path:
    if file.parent.name != "meta":
        return file.parent
    split = file.parent.parent / file.stem
    return split if split.is_dir() else split.parent
