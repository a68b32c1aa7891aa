"""ImageNet's validation images in one folder, ImageNet-V2 and ImageNet-ReaL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList, FileListDataset
from levit.data.image_listing import list_images
from levit.data.matlab_files import as_list, malformed_fields, read_matlab
from levit.data.record_values import describe, in_record, label_indices, read_json, read_text, whole_number
from levit.errors import DataError
from levit.spec.labels import IMAGENET_CLASSES, imagenet_classes

_VALIDATION_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG$")
_VALIDATION_PATTERN = "ILSVRC2012_val_????????.JPEG"
_DEVKIT = "ILSVRC2012_devkit_t12"
_GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_SYNSET_LISTS = ("imagenet_2012_validation_synset_labels.txt", "synset_labels.txt", "val_synsets.txt")
_WORDNET_IDS = tuple(identifier for identifier, _ in imagenet_classes())


def is_flat_validation(folder: Path) -> bool:
    """Return whether a folder contains the validation images as in the archive of ILSVRC 2012."""
    return any(folder.glob(_VALIDATION_PATTERN))


def open_flat_validation(folder: Path) -> FileListDataset:
    """Open the validation images in one folder, with labels from the devkit or a list of WordNet ids.

    The devkit (`ILSVRC2012_devkit_t12`, which needs scipy) or the list (a line for each image, in order) is in the
    folder or next to it.

    Raises:
        DataError: neither exists, a label is not a class of ImageNet, or an image has a higher number than the last
            label.
        ImportError: scipy is not installed.
    """
    labels = _read_devkit(folder) or _read_synset_list(folder)
    if labels is None:
        hint = f"put the devkit ({_DEVKIT}) or {_SYNSET_LISTS[0]} into it or next to it"
        raise DataError("no labels", source=folder, hint=hint)
    files = _list_validation_images(folder, labels)
    return FileListDataset(name=f"ImageNet validation ({folder.name})", classes=_WORDNET_IDS, files=files)


def is_version_2(folder: Path) -> bool:
    """Return whether a folder has the subfolders of ImageNet-V2, which are class indices."""
    return all((folder / str(number)).is_dir() for number in (0, 1, 10, IMAGENET_CLASSES - 1))


def open_version_2(folder: Path) -> FileListDataset:
    """Open ImageNet-V2, whose subfolders 0 to 999 are the classes in the order of their WordNet ids."""
    files = FileList(folder)
    for number in range(IMAGENET_CLASSES):
        if (folder / str(number)).is_dir():
            for name in list_images(folder, str(number)):
                files.add(name, (number,))
    return FileListDataset(name=f"ImageNet-V2 ({folder.name})", classes=_WORDNET_IDS, files=files, is_class_folder=True)


def open_real_labels(file: Path) -> FileListDataset:
    """Open ImageNet-ReaL: `real.json`, a list of labels for each validation image in order, which may be empty.

    The images are in the folder of the file, or in `val` or `ILSVRC2012_img_val` there, all in one folder or in those
    of their classes (`n01440764`).

    Raises:
        DataError: the file is of another format, there are no images, or more images than lists of labels.
    """
    labels = read_json(file)
    if not isinstance(labels, list) or not all(isinstance(image_labels, list) for image_labels in labels):
        raise DataError("not the labels of ImageNet-ReaL, a list of lists of numbers", source=file)
    candidates = [file.parent / name for name in ("", "val", "ILSVRC2012_img_val")]
    patterns = (_VALIDATION_PATTERN, f"n????????/{_VALIDATION_PATTERN}")
    folder = next((place for pattern in patterns for place in candidates if any(place.glob(pattern))), None)
    if folder is None:
        raise DataError("no ILSVRC2012_val_….JPEG next to it, in val or in ILSVRC2012_img_val", source=file)
    files = _list_validation_images(folder, _check_labels(file, labels))
    return FileListDataset(name="ImageNet-ReaL", classes=_WORDNET_IDS, files=files, is_any_label_correct=True)


def _list_validation_images(folder: Path, labels: Sequence[Sequence[int]]) -> FileList:
    """The images of a folder, with the labels that belong to the number in their name."""
    files = FileList(folder)
    for name in list_images(folder):
        match = _VALIDATION_IMAGE.search(name)
        number = int(match[1]) if match else 0
        if not 1 <= number <= len(labels):
            raise DataError(f"there are labels for the images 1 to {len(labels)} only", source=folder / name)
        files.add(name, labels[number - 1])
    return files


def _check_labels(file: Path, labels: Sequence[Any]) -> list[tuple[int, ...]]:
    checked = []
    for number, image_labels in enumerate(labels, start=1):
        try:
            checked.append(label_indices(image_labels))
        except DataError as error:
            raise in_record(error, file, f"image {number}") from None
    return checked


def _read_devkit(folder: Path) -> list[tuple[int, ...]] | None:
    """Label of each validation image, or None if there is no devkit."""
    for devkit in (folder / _DEVKIT, folder.parent / _DEVKIT):
        file = devkit / "data" / _GROUND_TRUTH
        if file.is_file():
            synsets = _read_synsets(devkit / "data" / "meta.mat")
            return _class_indices(file, [synsets.get(number, number) for number in read_text(file).split()])
    return None


def _read_synsets(file: Path) -> dict[str, str]:
    """WordNet id of each number of the devkit, which numbers classes in another order than that of the WordNet ids."""
    with malformed_fields(file):
        rows = as_list(read_matlab(file)[0]["synsets"])
        return {str(whole_number(row["ILSVRC2012_ID"])): str(row["WNID"]) for row in rows}


def _read_synset_list(folder: Path) -> list[tuple[int, ...]] | None:
    """Label of each validation image, or None if there is no list."""
    files = [parent / name for parent in (folder, folder.parent) for name in _SYNSET_LISTS]
    file = next((file for file in files if file.is_file()), None)
    return None if file is None else _class_indices(file, read_text(file).split())


def _class_indices(file: Path, wordnet_ids: Sequence[str]) -> list[tuple[int, ...]]:
    indices = {identifier: (index,) for index, identifier in enumerate(_WORDNET_IDS)}
    for number, identifier in enumerate(wordnet_ids, start=1):
        if identifier not in indices:
            raise DataError(f"label {number} ({describe(identifier)}) is not a class of ImageNet", source=file)
    return [indices[identifier] for identifier in wordnet_ids]
