"""Folder of a split data set: a folder for each part, with the files copied or linked, and a list of them."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from levit.data.file_list import FileListDataset
from levit.data.image_folder import UNLABELED_FOLDERS
from levit.data.splitting import PARTS, Part
from levit.errors import DataError
from levit.files import updating_folder
from levit.spec.folder_names import is_folder_name
from levit.spec.image_files import is_image, is_system_folder

LIST_FILE = "split.csv"


@dataclass(frozen=True)
class PlacedFile:
    """An image file and its place in the folder of a split data set.

    Attributes:
        source: the file that is copied or linked.
        target: its path relative to the folder, with slashes.
        part: "train", "val" or "test".
        labels: names of its classes.
        group: number of its group of duplicates, from 1; 0 for an image without a duplicate.
    """

    source: Path
    target: str
    part: Part
    labels: tuple[str, ...]
    group: int


def place_files(data: FileListDataset, parts: Sequence[Part], groups: Sequence[int]) -> list[PlacedFile]:
    """Choose the place of each image: in a folder of its class where the names of classes and files allow it.

    Args:
        data: the images.
        parts: part of each image.
        groups: number of the group of duplicates of each image, from 1; 0 for none.
    """
    has_folders = uses_class_folders(data)
    placed, taken = [], set[str]()
    for item, part, group in zip(data, parts, groups, strict=True):
        labels = tuple(data.classes[label] for label in item.labels)
        if not has_folders or not data.classes:
            folder = part
        else:
            folder = f"{part}/{labels[0] if labels else UNLABELED_FOLDERS[0]}"
        target = _free_name(folder, _name_below(item.name, labels[:1] if has_folders else ()), taken)
        placed.append(PlacedFile(data.files.folder / item.name, target, part, labels, group))
    return placed


def uses_class_folders(data: FileListDataset) -> bool:
    """Return whether folders of classes would be read as the same data.

    Each image has one label, every system accepts the names of the classes, and all images are found by their names.
    """
    names = [name.casefold() for name in data.classes]
    return (
        not data.is_multi_label
        and len({*names}) == len(names)
        and all(map(_is_class_folder, data.classes))
        and all(_is_listed(_name_below(data.files.name(index), ())) for index in range(len(data)))
    )


def write_split(placed: Sequence[PlacedFile], data: FileListDataset, folder: Path, *, is_linked: bool) -> None:
    """Write the folder, complete or not at all; an empty folder is filled at the end.

    It contains `train/`, `val/` and `test/`, as far as they have images, each with a folder for every class; or, where
    folders of classes would not be read as the same data, a `metadata.jsonl` with the labels of all images. `split.csv`
    lists the files.

    Args:
        placed: the files.
        data: the data set to which they belong.
        folder: the folder to create; it must not exist, or must be empty.
        is_linked: True for symbolic links in place of copies.

    Raises:
        DataError: the folder exists, or a file cannot be read or written.
    """
    check_is_new(folder)
    has_folders = uses_class_folders(data)
    try:
        with updating_folder(folder, last=(LIST_FILE,)) as partial:
            for part in PARTS:
                files = [file for file in placed if file.part == part]
                _write_part(files, data.classes if has_folders else (), partial, is_linked=is_linked)
            if not has_folders:
                _write_table(placed, partial / "metadata.jsonl", is_multi_label=data.is_multi_label)
            _write_list(placed, partial / LIST_FILE)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error.strerror or str(error)
        verb = "linked" if is_linked else "copied"
        raise DataError(f"cannot be {verb} ({reason})", source=error.filename or folder) from error


def check_is_new(folder: Path) -> None:
    """Refuse a path where something exists already, other than an empty folder.

    Raises:
        DataError: it exists.
    """
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise DataError("exists already, and nothing is overwritten", source=folder, hint="give a new folder")


def _write_part(files: Sequence[PlacedFile], folders: Sequence[str], partial: Path, *, is_linked: bool) -> None:
    if not files:
        return
    for name in folders:  # also classes without an image in this part
        (partial / files[0].part / name).mkdir(parents=True)
    for file in files:
        target = partial / file.target
        target.parent.mkdir(parents=True, exist_ok=True)
        if is_linked:
            if not file.source.exists():
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file.source))
            target.symlink_to(file.source.resolve())
        else:
            shutil.copyfile(file.source, target)
            shutil.copystat(file.source, target)


def _write_table(placed: Sequence[PlacedFile], file: Path, *, is_multi_label: bool) -> None:
    with file.open("w", encoding="utf-8") as stream:
        for row in placed:
            values: dict[str, Any] = {"file_name": row.target}
            if is_multi_label:
                values["labels"] = [*row.labels]
            else:
                values["label"] = row.labels[0] if row.labels else None
            stream.write(json.dumps(values) + "\n")


def _write_list(placed: Sequence[PlacedFile], file: Path) -> None:
    """Write a row for each file; names that are not UTF-8 keep their bytes."""
    with file.open("w", encoding="utf-8", errors="surrogateescape", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "part", "label", "duplicates", "source"])
        writer.writerows(
            [row.target, row.part, "|".join(row.labels), row.group or "", str(row.source)] for row in placed
        )


def _is_class_folder(name: str) -> bool:
    return is_folder_name(name) and name.casefold() not in UNLABELED_FOLDERS and not is_system_folder(name)


def _is_listed(name: str) -> bool:
    """Return whether `levit.data.image_listing.list_images` finds a file of this name."""
    return is_image(name) and not any(map(is_system_folder, name.split("/")[:-1]))


def _name_below(name: str, first_folders: Sequence[str]) -> str:
    """Relative name without a leading folder of the class, and without parts that lead out of the folder."""
    parts = [part for part in PurePosixPath(name.replace(os.sep, "/")).parts if part not in ("/", ".", "..")]
    parts = parts[1:] if parts[0][1:] == ":" else parts  # a drive of Windows
    is_class = len(parts) > 1 and unicodedata.normalize("NFC", parts[0]) in (*first_folders, *UNLABELED_FOLDERS)
    return "/".join(parts[1:] if is_class else parts)


def _free_name(folder: str, name: str, taken: set[str]) -> str:
    """Name in a folder that no other file has, regardless of case, with a number if need be."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (names with slashes on every system)
    number = 1
    while (target := f"{folder}/{stem}{f'-{number}' if number > 1 else ''}{suffix}").casefold() in taken:
        number += 1
    taken.add(target.casefold())
    return target
