"""Training and validation set: opening, indexing and splitting."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.data.class_matching import match_classes
from levit.data.file_list import FileListDataset
from levit.data.image_folder import UNLABELED_FOLDERS
from levit.data.labeled_images import LabeledDataset, NoSplitError
from levit.data.open_data import open_data
from levit.data.splitting import assign_parts
from levit.errors import ConfigError, DataError, LevitWarning
from levit.training.indexed_images import IndexedImages, index_images, index_unlabeled_images
from levit.training.option_groups import DataOptions

IMAGE_COPIES = ".images"  # folder of copied images in the run directory, deleted at the end of the run

_MAX_LISTED = 5  # classes in a message


@dataclass(frozen=True)
class TrainingData:
    """Training and validation set, opened but not read.

    Attributes:
        train: the training set.
        validation: the validation set; None where it is split off the training set.
        unlabeled: further training images, whose labels are ignored; None without them.
        outliers: out-of-distribution training images; None without them.
        train_splits: paths of those further images of which only the train split is read, by option: `unlabeled` and
            `outliers`.
    """

    train: LabeledDataset
    validation: LabeledDataset | None
    unlabeled: LabeledDataset | None = None
    outliers: LabeledDataset | None = None
    train_splits: Mapping[str, str] = field(default_factory=dict)

    @property
    def datasets(self) -> tuple[LabeledDataset, ...]:
        """All data sets."""
        opened = (self.train, self.validation, self.unlabeled, self.outliers)
        return tuple(dataset for dataset in opened if dataset is not None)


def open_training_data(options: DataOptions, *, keeps_unlabeled: bool = False) -> TrainingData:
    """Open the training and the validation set.

    The training set is the train split of `data`, or all of it where it has no splits, and so are further images. The
    validation set is `val`, or the validation split of `data`. Nothing else is opened.

    Args:
        options: paths of the images.
        keeps_unlabeled: whether images without a label are trained on, with a teacher.

    Raises:
        ConfigError: there are further images without labels, and images of the data have several.
        DataError: the data cannot be read, has no train split, no labels or only one class, or training and validation
            set differ in their kind of labels.
    """
    train, has_splits = _open_train_split(options.data, options)
    validation = None
    if options.val is not None:
        validation = open_data(options.val, allow_outside=options.allow_outside)
    elif has_splits:
        validation = _open_split(options.data, "validation", options)
    _check_labels(train, validation, options)
    unlabeled = _unlabeled_path(options, train) if keeps_unlabeled else None
    further, train_splits = dict[str, LabeledDataset](), dict[str, str]()
    for name, path in (("unlabeled", unlabeled), ("outliers", options.outliers)):
        if path is not None:
            _check_single_label(name, path, train)
            further[name], is_split = _open_train_split(path, options)
            train_splits |= {name: path} if is_split else {}
    return TrainingData(train, validation, further.get("unlabeled"), further.get("outliers"), train_splits)


def _check_labels(train: LabeledDataset, validation: LabeledDataset | None, options: DataOptions) -> None:
    """Check that a network can be trained and validated on the labels of these data sets."""
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


def _hint_for_one_class(data: LabeledDataset) -> str:
    """What to do about data of one class, whose folder may be the one that contains the classes."""
    if isinstance(data, FileListDataset) and data.is_class_folder:
        folder = data.files.folder / data.classes[0]
        if folder.is_dir() and sum(path.is_dir() for path in folder.iterdir()) > 1:
            return f"if its folders are the classes, give {folder}"
    return "use at least two classes"


def check_output_outside_data(data: TrainingData, directory: Path) -> None:
    """Check that a run directory is not inside a folder of classes, whose reader would take its pictures for images.

    Raises:
        ConfigError: it is inside.
    """
    for dataset in data.datasets:
        if isinstance(dataset, FileListDataset) and dataset.is_class_folder:
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
    """Split images into a training and a validation set, class by class; see `levit.data.splitting.assign_parts`.

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
    parts = assign_parts(
        [labels[index] for index in candidates], np.arange(len(candidates)), num_classes=len(images.classes),
        fractions={"val": fraction}, seed=seed, is_multi_label=images.is_multi_label,
    )  # fmt: skip
    validation = candidates[[part == "val" for part in parts]]
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


def _open_train_split(path: str, options: DataOptions) -> tuple[LabeledDataset, bool]:
    """The train split of images, or all of them where there are no splits, and whether it is a split.

    Raises:
        DataError: there are other splits only, which are not for training.
    """
    train = _open_split(path, "train", options)
    if train is not None:
        return train, True
    if any(_open_split(path, split, options) is not None for split in ("validation", "test")):
        raise DataError("no train split", source=path)
    return open_data(path, allow_outside=options.allow_outside), False


def _open_split(path: str, split: str, options: DataOptions) -> LabeledDataset | None:
    """A split of images; None where there is no such split."""
    try:
        return open_data(path, split=split, allow_outside=options.allow_outside)
    except NoSplitError:
        return None


def _unlabeled_path(options: DataOptions, train: LabeledDataset) -> str | None:
    """Further images without labels: those of the option, or of the folder `unlabeled` next to those of the splits."""
    if options.unlabeled is not None:
        return options.unlabeled
    if isinstance(train, FileListDataset) and train.files.folder != Path(options.data) and not train.is_multi_label:
        folders = [Path(options.data, name) for name in UNLABELED_FOLDERS]
        return next((str(folder) for folder in folders if folder.is_dir()), None)
    return None


def _check_single_label(option: str, path: str, train: LabeledDataset) -> None:
    """Check that images of the training set have one label, where others have none.

    Raises:
        ConfigError: they have several.
    """
    if train.is_multi_label:
        reason = f"is {path}, and images of {train.name} have any number of labels"
        hint = "leave it out" if option == "unlabeled" else "add the images to the data, without labels"
        raise ConfigError(reason, source=option, hint=hint)


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
