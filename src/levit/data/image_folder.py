"""Folders of images, whose subfolders are the classes; images without subfolders have no labels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

from levit.data.file_list import FileList, FileListDataset
from levit.data.split_names import SPLIT_NAMES, find_split_name, no_split_error
from levit.errors import DataError, LevitWarning
from levit.spec.image_files import IMAGE_SUFFIXES, is_image

_SUFFIXES = ", ".join(sorted(IMAGE_SUFFIXES))


def open_image_folder(folder: Path) -> FileListDataset:
    """Open images in `folder/<class>/…` with the classes in alphabetical order, or unlabeled images in a folder.

    An empty folder is a class without images. A folder with files of other types only is not a class; a warning names
    it.

    Raises:
        DataError: there are no images, or some are next to folders of images.
    """
    files, classes, ignored = FileList(folder), list[str](), list[str]()
    for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()):
        count = len(files)
        for file in list_images(folder, name):
            files.add(file, (len(classes),))
        if len(files) > count or _is_empty(folder / name):
            classes.append(name)
        elif not name.startswith("."):
            ignored.append(name)
    if not len(files):
        classes.clear()
    stray = next(list_images(folder, depth=0), None)
    if classes and stray is not None:
        reason = f"{stray} is next to folders of images"
        raise DataError(reason, source=folder, hint="put it into the folder of its class")
    if classes and ignored:
        text = f"{folder}: not classes, because they contain no images ({_SUFFIXES}): {', '.join(ignored)}"
        warnings.warn(text, LevitWarning, stacklevel=2)
    if not classes:
        for file in list_images(folder):
            files.add(file, ())
    if not len(files):
        raise DataError(f"no images in it ({_SUFFIXES})", source=folder)
    return FileListDataset(name=folder.name or str(folder), classes=tuple(classes), files=files, is_grouped=True)


def find_split_folder(folder: Path, split: str | None) -> Path:
    """Find the folder of a split: `train`, `val`, … if there are such folders, otherwise the folder itself.

    Args:
        folder: folder of the data set.
        split: validation, test, train, or the name of a folder; None for the first of these three that exists.

    Raises:
        NoSplitError: there is no such folder.
    """
    folders = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    splits = [name for names in SPLIT_NAMES.values() for name in names if name in folders]
    if len(splits) == 1 and _is_class(folder, splits[0], folders):
        folders.remove(splits.pop())
    name = find_split_name(folders, split)
    if name is None and split is not None:
        raise no_split_error(folder, split, sorted(splits))
    return folder / (name or "")


def has_folders_of_images(folder: Path) -> bool:
    """Return whether a subfolder, at any depth, contains an image."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    return any(next(list_images(folder, name), None) is not None for name in names)


def list_images(folder: Path, subfolder: str = "", *, depth: int | None = None) -> Iterator[str]:
    """Names of the images in a folder and below it, relative to it, sorted folder by folder.

    Args:
        folder: folder that the names are relative to.
        subfolder: the only subfolder to list; empty for the whole folder.
        depth: number of levels of subfolders to descend; None for all.
    """
    entries = sorted(os.scandir(folder / subfolder), key=lambda entry: entry.name)
    for entry in entries:
        name = f"{subfolder}/{entry.name}" if subfolder else entry.name
        if entry.is_dir():
            if depth != 0:
                yield from list_images(folder, name, depth=None if depth is None else depth - 1)
        elif is_image(entry.name) and entry.is_file():
            yield name


def _is_empty(folder: Path) -> bool:
    """Return whether a folder contains only hidden files; a folder with other files is not taken for a class."""
    return not folder.name.startswith(".") and all(entry.name.startswith(".") for entry in folder.iterdir())


def _is_class(folder: Path, name: str, folders: Collection[str]) -> bool:
    """Return whether a folder with the name of a split is a class, as `train` is next to `bus` and `car`."""

    def has_images(subfolder: str) -> bool:
        return next(list_images(folder, subfolder, depth=0), None) is not None

    with os.scandir(folder / name) as entries:
        is_dataset = any(entry.is_dir() or entry.name.startswith("metadata.") for entry in entries)
    return not is_dataset and has_images(name) and any(has_images(other) for other in folders if other != name)
