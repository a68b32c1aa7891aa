"""Flowers-102 and Stanford Cars as their authors distribute them: a folder of images, with labels in MATLAB files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from levit.data.file_list import FileList, FileListDataset
from levit.data.matlab_files import read_matlab
from levit.data.split_names import no_split_error
from levit.errors import DataError

_FLOWER_SPLITS = {"train": "trnid", "validation": "valid", "test": "tstid"}
_CAR_ANNOTATIONS = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}


def is_flowers(folder: Path) -> bool:
    """Return whether a folder has the files of Flowers-102."""
    return (folder / "imagelabels.mat").is_file() and (folder / "setid.mat").is_file()


def open_flowers(folder: Path, split: str | None) -> FileListDataset:
    """Open Flowers-102: `imagelabels.mat`, `setid.mat`, `jpg/image_00001.jpg`.

    The files contain no class names; the classes are named `1` to `102`, the numbers that the authors use.

    Args:
        folder: folder of the data set.
        split: train, validation or test; None for test.

    Raises:
        DataError: there is no such split, or a file is not a MATLAB file.
        ImportError: scipy is not installed.
    """
    split = split or "test"
    if split not in _FLOWER_SPLITS:
        raise no_split_error(folder, split, _FLOWER_SPLITS)
    labels = np.atleast_1d(read_matlab(folder / "imagelabels.mat")["labels"])
    numbers = np.atleast_1d(read_matlab(folder / "setid.mat")[_FLOWER_SPLITS[split]])
    files = FileList(folder)
    for number in numbers:
        files.add(f"jpg/image_{int(number):05}.jpg", (int(labels[int(number) - 1]) - 1,))
    classes = tuple(str(number) for number in range(1, int(labels.max()) + 1))
    return FileListDataset(name=f"Flowers-102 {split}", classes=classes, files=files)


def is_cars(folder: Path) -> bool:
    """Return whether a folder has the devkit of Stanford Cars."""
    return (folder / "devkit" / "cars_meta.mat").is_file()


def open_cars(folder: Path, split: str | None) -> FileListDataset:
    """Open Stanford Cars: `devkit/cars_meta.mat` and annotations, `cars_train/`, `cars_test/`.

    Args:
        folder: folder of the data set.
        split: train or test; None for test.

    Raises:
        DataError: there is no such split, its annotations are missing, or a file is not a MATLAB file.
        ImportError: scipy is not installed.
    """
    split = split or "test"
    if split not in _CAR_ANNOTATIONS:
        raise no_split_error(folder, split, _CAR_ANNOTATIONS)
    candidates = [parent / _CAR_ANNOTATIONS[split] for parent in (folder / "devkit", folder)]
    table = next((file for file in candidates if file.is_file()), None)
    if table is None:
        raise DataError(f"{_CAR_ANNOTATIONS[split]} is missing", source=folder)
    names = np.atleast_1d(read_matlab(folder / "devkit" / "cars_meta.mat")["class_names"])
    files = FileList(folder)
    for row in np.atleast_1d(read_matlab(table)["annotations"]):
        files.add(f"cars_{split}/{row['fname']}", (int(row["class"]) - 1,))
    return FileListDataset(name=f"Stanford Cars {split}", classes=tuple(str(name) for name in names), files=files)
