"""Folders of images, whose subfolders are the classes; images without subfolders have no labels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from pathlib import Path

from levit.data.file_list import FileList, FileListDataset
from levit.data.image_listing import SkippedFiles, list_folders, list_images
from levit.data.record_values import in_record, normalize_name
from levit.data.split_names import canonical_split, find_split_name, no_split_error
from levit.errors import DataError, LevitWarning
from levit.spec.image_files import IMAGE_SUFFIXES

_SUFFIXES = ", ".join(sorted(IMAGE_SUFFIXES))


UNLABELED_FOLDERS = ("unlabeled", "unlabelled")


def open_image_folder(folder: Path) -> FileListDataset:
    """Open images in `folder/<class>/…` with the classes in alphabetical order, or unlabeled images in a folder.

    Images in `folder/unlabeled` or `folder/unlabelled`, next to folders of classes, have no labels. An empty folder is
    a class without images. A folder with files of other types only is not a class; a warning names it.

    Raises:
        DataError: there are no images, or some are next to folders of images.
    """
    files, classes, ignored = FileList(folder), list[str](), list[str]()
    skipped, skipped_in_ignored = SkippedFiles(), SkippedFiles()
    class_folders = _class_folders(folder)
    unlabeled = [item for name in UNLABELED_FOLDERS for item in class_folders.pop(name, [])]
    for name, folders in class_folders.items():
        count, skipped_here = len(files), SkippedFiles()
        for subfolder in folders:
            for file in list_images(folder, subfolder, skipped=skipped_here):
                files.add(file, (len(classes),))
        if len(files) > count or all(_is_empty(folder / subfolder) for subfolder in folders):
            classes.append(name)
            skipped.update(skipped_here)
        else:
            ignored.append(name)
            skipped_in_ignored.update(skipped_here)
    if not len(files):
        classes.clear()
    stray = next(list_images(folder, depth=0), None)
    if classes and stray is not None:
        reason = f"{stray} is next to folders of images"
        raise DataError(reason, source=folder, hint="put it into the folder of its class")
    if classes and ignored:
        found = skipped_in_ignored.describe()
        text = f"{folder}: ignored folders without images: {', '.join(ignored)}"
        warnings.warn(f"{text}: not read: {found}" if found else text, LevitWarning, stacklevel=2)
    if not classes:
        skipped, unlabeled = SkippedFiles(), [""]
    for subfolder in unlabeled:
        for file in list_images(folder, subfolder, skipped=skipped):
            files.add(file, ())
    if not len(files):
        found = skipped.describe() or _describe_shards(folder)
        raise DataError(f"no images in it ({_SUFFIXES})", source=folder, hint=f"not read: {found}" if found else None)
    skipped.warn(folder)
    return FileListDataset(name=folder.name or str(folder), classes=tuple(classes), files=files, is_class_folder=True)


def _describe_shards(folder: Path) -> str:
    """Number and first name of the parquet or tar files below a folder; empty if there are none."""
    for pattern in ("*.parquet", "*.tar"):
        if files := sorted(file.relative_to(folder).as_posix() for file in folder.rglob(pattern)):
            return f"{len(files):,} {pattern[1:]} files ({files[0]}); give their folder"
    return ""


def _class_folders(folder: Path) -> dict[str, list[str]]:
    """Class names in alphabetical order, with their folders: two if one name is spelled in both forms of Unicode."""
    folders: dict[str, list[str]] = {}
    for subfolder in list_folders(folder):
        folders.setdefault(_class_name(folder, subfolder), []).append(subfolder)
    return dict(sorted(folders.items()))


def _class_name(folder: Path, subfolder: str) -> str:
    try:
        return normalize_name(subfolder)
    except DataError as error:
        raise in_record(error, folder, "class name") from None


def find_split_folder(folder: Path, split: str | None) -> Path:
    """Find the folder of a split: `train`, `val`, … if there are such folders, otherwise the folder itself.

    Args:
        folder: folder of the data set.
        split: validation, test, train, or the name of a folder; None for the first of these three that exists.

    Raises:
        NoSplitError: there is no such folder.
    """
    folders = list_folders(folder)
    splits = [name for name in folders if canonical_split(name) is not None]
    if len(splits) == 1 and _is_class(folder, splits[0], folders):
        folders.remove(splits.pop())
    name = find_split_name(folders, split)
    if name is None and split is not None:
        raise no_split_error(folder, split, sorted(splits))
    same = [other for other in splits if name and other != name and canonical_split(other) == canonical_split(name)]
    if same:
        text = f"{folder}: {canonical_split(str(name))} is read from {name}/ only, not from {', '.join(same)}"
        warnings.warn(text, LevitWarning, stacklevel=2)
    return folder / (name or "")


def describe_splits(folder: Path) -> str:
    """Folders of a data set that are taken for splits, and the others, in one line; empty if none is a split.

    Examples:
        >>> describe_splits(Path("examples"))
        ''
    """
    folders = list_folders(folder)
    splits = [f"{name}/ is {canonical_split(name)}" for name in folders if canonical_split(name) is not None]
    if find_split_folder(folder, None) == folder:
        return ""
    others = [f"{name}/" for name in folders if canonical_split(name) is None]
    return ", ".join(splits) + (f"; other folders: {', '.join(others)}" if others else "")


def has_folders_of_images(folder: Path) -> bool:
    """Return whether a subfolder, at any depth, contains an image."""
    return any(next(list_images(folder, name), None) is not None for name in list_folders(folder))


def _is_empty(folder: Path) -> bool:
    """Return whether a folder contains only hidden files; a folder with other files is not taken for a class."""
    return all(entry.name.startswith(".") for entry in folder.iterdir())


def _is_class(folder: Path, name: str, folders: Collection[str]) -> bool:
    """Return whether a folder with the name of a split is a class, as `train` is next to `bus` and `car`."""

    def has_images(subfolder: str) -> bool:
        return next(list_images(folder, subfolder, depth=0), None) is not None

    with os.scandir(folder / name) as entries:
        is_dataset = any(entry.is_dir() or entry.name.startswith("metadata.") for entry in entries)
    return not is_dataset and has_images(name) and any(has_images(other) for other in folders if other != name)
