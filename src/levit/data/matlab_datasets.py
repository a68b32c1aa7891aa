"""Flowers-102 and Stanford Cars as their authors distribute them: a folder of images, with labels in MATLAB files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList, FileListDataset
from levit.data.matlab_files import as_list, malformed_fields, read_matlab
from levit.data.record_values import class_names, file_name, label_index, whole_number
from levit.data.split_names import choose_split
from levit.errors import DataError

_FLOWER_SPLITS = {"train": "trnid", "validation": "valid", "test": "tstid"}
_MAX_CLASSES = 10_000  # more are no labels of classes
_CAR_ANNOTATIONS = {"train": "cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}


def is_flowers(folder: Path) -> bool:
    """Return whether a folder has the files of Flowers-102."""
    return (folder / "imagelabels.mat").is_file() and (folder / "setid.mat").is_file()


def open_flowers(folder: Path, split: str | None) -> FileListDataset:
    """Open Flowers-102: `imagelabels.mat`, `setid.mat`, `jpg/image_00001.jpg`.

    The files contain no class names; the classes are named `1` to `102`, the numbers that the authors use.

    Args:
        folder: folder of the data set.
        split: as for `find_split_name`, of train, validation and test.

    Raises:
        DataError: there is no such split, or a file is not a MATLAB file.
        ImportError: scipy is not installed.
    """
    split = choose_split(folder, _FLOWER_SPLITS, split)
    names = ("imagelabels.mat", "setid.mat")
    label_variables, split_variables = read_matlab(*(folder / name for name in names))
    labels = _numbers(label_variables, "labels", folder / names[0])
    numbers = _numbers(split_variables, _FLOWER_SPLITS[split], folder / names[1])
    if not labels or min(labels) < 1 or max(labels) > _MAX_CLASSES:
        raise DataError("its labels are not those of Flowers-102", source=folder / "imagelabels.mat")
    files = FileList(folder)
    for number in numbers:
        if not 1 <= number <= len(labels):
            raise DataError(f"there are labels for the images 1 to {len(labels)} only", source=folder / "setid.mat")
        files.add(f"jpg/image_{number:05}.jpg", (labels[number - 1] - 1,))
    classes = tuple(str(number) for number in range(1, max(labels) + 1))
    return FileListDataset(name=f"Flowers-102 {split}", classes=classes, files=files)


def is_cars(folder: Path) -> bool:
    """Return whether a folder has the devkit of Stanford Cars."""
    return (folder / "devkit" / "cars_meta.mat").is_file()


def open_cars(folder: Path, split: str | None) -> FileListDataset:
    """Open Stanford Cars: `devkit/cars_meta.mat` and annotations, `cars_train/`, `cars_test/`.

    Args:
        folder: folder of the data set.
        split: as for `find_split_name`, of train and test.

    Raises:
        DataError: there is no such split, its annotations are missing, or a file is not a MATLAB file.
        ImportError: scipy is not installed.
    """
    split = choose_split(folder, _CAR_ANNOTATIONS, split)
    candidates = [parent / _CAR_ANNOTATIONS[split] for parent in (folder / "devkit", folder)]
    table = next((file for file in candidates if file.is_file()), None)
    if table is None:
        raise DataError(f"{_CAR_ANNOTATIONS[split]} is missing", source=folder)
    names_file = folder / "devkit" / "cars_meta.mat"
    names, annotations = read_matlab(names_file, table)
    with malformed_fields(names_file):
        classes = class_names(as_list(names["class_names"]))
    files = FileList(folder)
    with malformed_fields(table):
        for row in as_list(annotations["annotations"]):
            name = file_name(f"cars_{split}/{row['fname']}", folder)
            label = label_index(row["class"])
            files.add(name, () if label is None or label == 0 else (label - 1,))
    return FileListDataset(name=f"Stanford Cars {split}", classes=classes, files=files)


def _numbers(variables: Mapping[str, Any], name: str, file: Path) -> list[int]:
    """An array of whole numbers in the variables of a file."""
    with malformed_fields(file):
        return [whole_number(value) for value in as_list(variables[name])]
