"""Training and validation set: opening, indexing and splitting."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.data.class_matching import match_classes
from levit.data.file_list import FileListDataset
from levit.data.image_folder import UNLABELED_FOLDERS
from levit.data.labeled_images import LabeledDataset, NoSplitError
from levit.data.open_data import open_data
from levit.data.subsets import stratified_split
from levit.errors import ConfigError, DataError, LevitWarning
from levit.training.indexed_images import IndexedImages, index_images, index_unlabeled_images
from levit.training.options import DataOptions

IMAGE_COPIES = ".images"  # folder of copied images in the run directory, deleted at the end of the run

_MAX_LISTED = 5  # classes in a message


class TrainingData(NamedTuple):
    """Training and validation set, opened but not read.

    Attributes:
        train: the training set.
        validation: the validation set; None where it is split off the training set.
        unlabeled: further training images, whose labels are ignored; None without them.
        outliers: training images of none of the classes; None without them.
    """

    train: LabeledDataset
    validation: LabeledDataset | None
    unlabeled: LabeledDataset | None = None
    outliers: LabeledDataset | None = None


def open_training_data(options: DataOptions) -> TrainingData:
    """Open the training and the validation set.

    The training set is the train split of `data`, or all of it where it has no splits. The validation set is `val`, or
    the validation split of `data`.

    Raises:
        ConfigError: there are further images without labels, and images of the data have several.
        DataError: the data cannot be read, has no train split, no labels or only one class, or training and validation
            set differ in their kind of labels.
    """
    train, validation = _open_split(options, "train"), _open_split(options, "validation")
    if train is None:
        if validation is not None or _open_split(options, "test") is not None:
            raise DataError("no train split", source=options.data)
        train = open_data(options.data, allow_outside=options.allow_outside)
    if options.val is not None:
        validation = open_data(options.val, allow_outside=options.allow_outside)
    if not train.classes:
        raise DataError("no labels", source=options.data, hint="put the images into one folder for each class")
    if len(train.classes) == 1 and not train.is_multi_label:
        reason = f"{train.classes[0]!r} is the only class"
        raise DataError(reason, source=options.data, hint=_hint_for_one_class(train))
    for data in (train, validation):
        if data is not None and data.is_any_label_correct:
            raise DataError("any of several labels counts as correct", source=data.name, hint="use it to evaluate only")
    if validation is not None and validation.is_multi_label != train.is_multi_label:
        kinds = {False: "one label", True: "several labels"}
        reason = f"{kinds[validation.is_multi_label]} per image, but {kinds[train.is_multi_label]} in {train.name}"
        raise DataError(reason, source=validation.name)
    unlabeled = _open_unlabeled(options, train)
    if unlabeled is not None and train.is_multi_label:
        reason = f"is {options.unlabeled}, and images of {train.name} have several labels"
        raise ConfigError(reason, source="unlabeled", hint="leave it out")
    return TrainingData(train, validation, unlabeled, _open_outliers(options, train))


def _hint_for_one_class(data: LabeledDataset) -> str:
    """What to do about data of one class, whose folder may be the one that contains the classes."""
    if isinstance(data, FileListDataset) and data.is_grouped:
        folder = data.files.folder / data.classes[0]
        if folder.is_dir() and sum(path.is_dir() for path in folder.iterdir()) > 1:
            return f"if its folders are the classes, give {folder}"
    return "use at least two classes"


def check_output_outside_data(data: TrainingData, directory: Path) -> None:
    """Check that a run directory is not inside a folder of classes, whose reader would take its pictures for images.

    Raises:
        ConfigError: it is inside.
    """
    for dataset in data:
        if isinstance(dataset, FileListDataset) and dataset.is_grouped:
            folder = dataset.files.folder
            if directory.resolve().is_relative_to(folder.resolve()):
                reason = f"is {directory}, inside {folder}, where every folder is a class of images"
                raise ConfigError(reason, source="out", hint="choose another folder")


def index_training_data(
    data: TrainingData,
    classes: tuple[str, ...],
    *,
    copies: Path,
    val_share: float,
    seed: int,
    writes: bool,
    keeps_unlabeled: bool = False,
) -> tuple[IndexedImages, IndexedImages]:
    """Index the images of the training and of the validation set.

    Args:
        data: the opened data.
        classes: labels of the network, which may be more than those of the data.
        copies: folder for copies of images that are not in files of their own.
        val_share: fraction of the images of each class for validation, where there is no validation set.
        seed: seed of that choice.
        writes: whether this process makes the copies.
        keeps_unlabeled: whether images without a label are trained on, with a teacher; they are never validated on.

    Returns:
        Training and validation images.

    Raises:
        DataError: the network lacks a class, a class of the data has no training image, a label is out of range, or no
            image is left for validation.
    """
    if writes:
        copies.mkdir(parents=True, exist_ok=True)
    train = _index(data.train, copies / "train", classes, writes=writes, keeps_unlabeled=keeps_unlabeled)
    if data.validation is None:
        name = f"the validation part of {data.train.name}"
        train, validation = split_validation(train, val_share, seed)
    else:
        name = data.validation.name
        validation = _index(data.validation, copies / "validation", classes, writes=writes)
    if data.unlabeled is not None and keeps_unlabeled:
        train = train.with_unlabeled(index_unlabeled_images(data.unlabeled, copies / "unlabeled", writes=writes))
    if data.outliers is not None:
        train = train.with_outliers(index_unlabeled_images(data.outliers, copies / "outliers", writes=writes))
    if missing := _classes_without_images(train, train.class_indices):
        raise DataError(f"no training image of {missing}", source=data.train.name, hint="leave out the empty classes")
    if missing := _classes_without_images(validation, train.class_indices):
        warnings.warn(f"{name}: no image of {missing}: the accuracy of this class is not measured", LevitWarning, 2)
    return train, validation


def split_validation(images: IndexedImages, fraction: float, seed: int) -> tuple[IndexedImages, IndexedImages]:
    """Split images into a training and a validation set, class by class; see `levit.data.subsets.stratified_split`.

    Args:
        images: all images.
        fraction: fraction of the images of each class for validation, in [0, 1].
        seed: seed of the choice.

    Raises:
        DataError: no image is left for validation.
    """
    labels = [images.labels(index) for index in range(len(images))]
    candidates = np.arange(len(images))
    if not images.is_multi_label:  # images without a label are for training only
        candidates = np.array([index for index, of_image in enumerate(labels) if of_image], np.int64)
    _, chosen = stratified_split(
        [labels[index] for index in candidates], len(images.classes), fraction, seed,
        is_multi_label=images.is_multi_label,
    )  # fmt: skip
    validation = candidates[chosen]
    train = np.setdiff1d(np.arange(len(images)), validation)
    if not len(validation):
        if fraction:  # no share takes the only image of a class
            hint = "give `val`, a validation set, or add images to the classes"
            raise DataError("no validation images, because no class has two images", hint=hint)
        raise DataError("no validation images", hint="give `val`, or a larger `val_share`")
    return images.select(train), images.select(validation)


def hash_images(*datasets: IndexedImages) -> str:
    """Hash of the names and labels of images in their order: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for images in datasets:
        digest.update(f"{len(images)}\n".encode())
        for index in range(len(images)):
            labels = "none" if images.is_outlier(index) else images.labels(index)
            digest.update(f"{images.name(index)}\0{labels}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def count_labels(images: IndexedImages) -> NDArray[np.int64]:
    """Number of images with each label: int64 [classes]."""
    counts = np.zeros(len(images.classes), np.int64)
    for index in range(len(images)):
        counts[list(images.labels(index))] += 1
    return counts


def _open_split(options: DataOptions, split: str) -> LabeledDataset | None:
    """A split of the data; None where it has no such split."""
    try:
        return open_data(options.data, split=split, allow_outside=options.allow_outside)
    except NoSplitError:
        return None


def _open_unlabeled(options: DataOptions, train: LabeledDataset) -> LabeledDataset | None:
    """Further images without labels: those of the option, or of the folder `unlabeled` next to those of the splits."""
    if options.unlabeled is not None:
        return open_data(options.unlabeled, allow_outside=options.allow_outside)
    folders = [Path(options.data, name) for name in UNLABELED_FOLDERS]
    if isinstance(train, FileListDataset) and train.files.folder != Path(options.data) and not train.is_multi_label:
        folder = next((folder for folder in folders if folder.is_dir()), None)
        return None if folder is None else open_data(folder, allow_outside=options.allow_outside)
    return None


def _open_outliers(options: DataOptions, train: LabeledDataset) -> LabeledDataset | None:
    """Training images of none of the classes."""
    if options.outliers is None:
        return None
    if train.is_multi_label:
        reason = f"is {options.outliers}, and images of {train.name} have any number of labels"
        raise ConfigError(reason, source="outliers", hint="add the images to the data, without labels")
    return open_data(options.outliers, allow_outside=options.allow_outside)


def _index(
    data: LabeledDataset, copy: Path, classes: tuple[str, ...], *, writes: bool, keeps_unlabeled: bool = False
) -> IndexedImages:
    try:
        match = match_classes(data.classes, classes, data.name)
    except DataError as error:  # its hint names an option of evaluation
        hint = "rename the classes, or leave out those that are not in the training set"
        raise DataError(error.reason, source=data.name, hint=hint) from error
    return index_images(
        data, copy, classes=classes, class_indices=match.class_indices, writes=writes, keeps_unlabeled=keeps_unlabeled
    )


def _classes_without_images(images: IndexedImages, class_indices: Sequence[int]) -> str:
    """Names of those of the classes that have no image, as text; empty where all of them have one."""
    counts = count_labels(images)
    missing = [images.classes[label] for label in sorted(class_indices) if not counts[label]]
    listed = ", ".join(map(repr, missing[:_MAX_LISTED]))
    return listed + (f" and {len(missing) - _MAX_LISTED} more" if len(missing) > _MAX_LISTED else "")
