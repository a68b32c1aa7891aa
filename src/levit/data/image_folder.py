"""A folder of images: the subfolders name the classes; without subfolders there are no labels."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from levit.data.file_list import FileList, FileListDataset
from levit.data.labeled_images import NoSplitError
from levit.errors import DataError, LevitWarning
from levit.spec.image_files import IMAGE_SUFFIXES, is_image

_SUFFIXES = ", ".join(sorted(IMAGE_SUFFIXES))
# What a part of the data is called, by what it is asked for as; where nothing is asked for, the first that is there.
SPLITS = {
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
    "train": ("train", "training"),
}


def open_image_folder(folder: Path) -> FileListDataset:
    """Images in `folder/<class>/…`, or directly in a folder without labels; the classes in alphabetical order.

    An empty folder beside those of other classes is a class without images; one with other files only is no class, and
    a warning says so.

    Raises:
        DataError: there are no images, or some beside folders of images.
    """
    files, classes, others = FileList(folder), list[str](), list[str]()
    for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()):
        before = len(files)
        for file in list_images(folder, name):
            files.add(file, (len(classes),))
        if len(files) > before or _is_empty(folder / name):
            classes.append(name)
        elif not name.startswith("."):
            others.append(name)
    if not len(files):
        classes.clear()
    beside = next(list_images(folder, depth=0), None)
    if classes and beside is not None:
        raise DataError(f"{folder}: {beside} stands beside folders of images: put it into the folder of its class")
    if classes and others:
        text = f"{folder}: no classes, for there is no image in them ({_SUFFIXES}): {', '.join(others)}"
        warnings.warn(text, LevitWarning, stacklevel=2)
    if not classes:
        for file in list_images(folder):
            files.add(file, ())
    if not len(files):
        raise DataError(f"{folder}: no images in it ({_SUFFIXES})")
    return FileListDataset(name=folder.name or str(folder), classes=tuple(classes), files=files, is_grouped=True)


def has_folders_of_images(folder: Path) -> bool:
    """Whether there is an image in a folder below this one."""
    names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    return any(next(list_images(folder, name), None) is not None for name in names)


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing in a folder but hidden files; one with other files may be no class at all."""
    return not folder.name.startswith(".") and all(entry.name.startswith(".") for entry in folder.iterdir())


def list_images(folder: Path, below: str = "", *, depth: int | None = None) -> Iterator[str]:
    """The names of all images in a folder and below it, sorted folder by folder, relative to the first.

    Args:
        folder: what names are relative to.
        below: a folder in it, the only one to list.
        depth: how many levels of folders to go down; None for all.
    """
    entries = sorted(os.scandir(folder / below), key=lambda entry: entry.name)
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.is_dir():
            if depth != 0:
                yield from list_images(folder, name, depth=None if depth is None else depth - 1)
        elif is_image(entry.name) and entry.is_file():
            yield name


def find_split(folder: Path, split: str | None) -> Path:
    """The folder of one part of the data: `train`, `val`, … where there are such folders, otherwise the folder itself.

    Args:
        folder: of the whole data.
        split: validation, test, train, or the name of a folder; None for the first of those three that is there.

    Raises:
        DataError: there is no such part.
    """
    present = {entry.name for entry in os.scandir(folder) if entry.is_dir()}
    parts = [name for names in SPLITS.values() for name in names if name in present]
    if len(parts) == 1 and _is_class(folder, parts[0], present):
        present.remove(parts.pop())
    found = choose_split(present, split)
    if found is None and split is not None:
        raise NoSplitError(f"{folder}: no split {split!r} (there: {', '.join(sorted(parts)) or 'none'})")
    return folder / (found or "")


def choose_split(present: Collection[str], split: str | None) -> str | None:
    """Which of some names means a part of the data; None where none does.

    Args:
        present: the names.
        split: validation, test, train or what else they may be called, or any of the names; None for the first of those
            three that is there.

    Examples:
        >>> choose_split(["train", "valid"], None), choose_split(["train", "valid"], "validation")
        ('valid', 'valid')
    """
    if split is None:
        return next((name for names in SPLITS.values() for name in names if name in present), None)
    others = next((names for names in SPLITS.values() if split in names), ())
    return next((name for name in (split, *others) if name in present), None)


def _is_class(folder: Path, name: str, present: Collection[str]) -> bool:
    """Whether a folder called as a part of the data is a class, as `train` is beside `bus` and `car`."""

    def has_images(one: str) -> bool:
        return next(list_images(folder, one, depth=0), None) is not None

    with os.scandir(folder / name) as entries:
        is_whole = any(entry.is_dir() or entry.name.startswith("metadata.") for entry in entries)
    return not is_whole and has_images(name) and any(has_images(one) for one in present if one != name)


def files_of_split(files: Sequence[Path], split: str | None) -> list[Path]:
    """The files of one part, by their names: `validation-00000-of-00002.parquet`, `flowers-train-0007.tar`.

    Raises:
        DataError: there are none.
    """
    parts: dict[str, list[Path]] = {}
    for file in files:
        words = re.split(r"[-_.]", file.stem)
        named = [name for word in words for name, names in SPLITS.items() if word in names]
        parts.setdefault(named[-1] if named else words[0], []).append(file)
    wanted = choose_split(parts, split)
    if wanted is None and split is not None:
        raise NoSplitError(f"{files[0].parent}: no split {split!r} (there: {', '.join(sorted(parts))})")
    return parts[wanted] if wanted is not None else list(files)
