"""Flowers-102 and Stanford Cars as their authors distribute them: a folder of images, and `.mat` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from levit.data.file_list import FileList, FileListDataset
from levit.data.labeled_images import NoSplitError
from levit.data.matlab_files import read_matlab
from levit.errors import DataError

_FLOWER_SPLITS = {"train": "trnid", "validation": "valid", "test": "tstid"}
_CAR_ANNOTATIONS = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}


def is_flowers(folder: Path) -> bool:
    """Whether a folder is that of Flowers-102."""
    return (folder / "imagelabels.mat").is_file() and (folder / "setid.mat").is_file()


def open_flowers(folder: Path, split: str | None) -> FileListDataset:
    """Flowers-102: `imagelabels.mat`, `setid.mat`, `jpg/image_00001.jpg`; test where no split is asked for.

    The files have no names of classes; they are called `1` to `102`, as the authors number them.

    Raises:
        DataError: there is no such split.
    """
    split = split or "test"
    if split not in _FLOWER_SPLITS:
        raise NoSplitError(f"{folder}: no split {split!r} (there: {', '.join(_FLOWER_SPLITS)})")
    labels = np.atleast_1d(read_matlab(folder / "imagelabels.mat")["labels"])
    numbers = np.atleast_1d(read_matlab(folder / "setid.mat")[_FLOWER_SPLITS[split]])
    files = FileList(folder)
    for number in numbers:
        files.add(f"jpg/image_{int(number):05}.jpg", (int(labels[int(number) - 1]) - 1,))
    classes = tuple(str(number) for number in range(1, int(labels.max()) + 1))
    return FileListDataset(name=f"Flowers-102 {split}", classes=classes, files=files)


def is_cars(folder: Path) -> bool:
    """Whether a folder is that of Stanford Cars."""
    return (folder / "devkit" / "cars_meta.mat").is_file()


def open_cars(folder: Path, split: str | None) -> FileListDataset:
    """Stanford Cars: `devkit/cars_meta.mat` and annotations, `cars_train/`, `cars_test/`; test where none is asked for.

    Raises:
        DataError: there is no such split, or its annotations are not there.
    """
    split = split or "test"
    if split not in _CAR_ANNOTATIONS:
        raise NoSplitError(f"{folder}: no split {split!r} (there: {', '.join(_CAR_ANNOTATIONS)})")
    table = next((place / _CAR_ANNOTATIONS[split] for place in (folder / "devkit", folder)
                  if (place / _CAR_ANNOTATIONS[split]).is_file()), None)  # fmt: skip
    if table is None:
        raise DataError(f"{folder}: {_CAR_ANNOTATIONS[split]} is missing")
    names = np.atleast_1d(read_matlab(folder / "devkit" / "cars_meta.mat")["class_names"])
    files = FileList(folder)
    for row in np.atleast_1d(read_matlab(table)["annotations"]):
        files.add(f"cars_{split}/{row['fname']}", (int(row["class"]) - 1,))
    return FileListDataset(name=f"Stanford Cars {split}", classes=tuple(str(name) for name in names), files=files)
