"""Which images are learned from, and which the best epoch is chosen by."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.data.class_matching import match_classes
from levit.data.file_list import FileListDataset
from levit.data.labeled_images import LabeledDataset, NoSplitError
from levit.data.open_data import open_data
from levit.errors import ConfigError, DataError, LevitWarning
from levit.training.indexed_images import IndexedImages, Selection, index_images
from levit.training.options import TrainingOptions

IMAGE_COPIES = ".images"  # below the folder of a run; gone when it is over

_SHOWN = 5  # classes in a message


class TrainingData(NamedTuple):
    """Labeled images that are opened and not yet read.

    Attributes:
        learned: to learn from.
        judged: to choose by; None for a share of the others.
    """

    learned: LabeledDataset
    judged: LabeledDataset | None


def open_training_data(options: TrainingOptions) -> TrainingData:
    """Find the parts of the data.

    Raises:
        DataError: it cannot be read, has no part to learn from, or no labels.
    """
    parts = {}
    for split in ("train", "validation"):
        with suppress(NoSplitError):
            parts[split] = open_data(options.data.data, split=split)
    learned = parts["train"] if "train" in parts else _whole(options.data.data, parts)
    if not learned.classes:
        raise DataError(f"{options.data.data}: no labels: put the images into one folder for each class")
    if len(learned.classes) == 1 and not learned.is_multi_label:
        raise DataError(f"{options.data.data}: all are {learned.classes[0]!r}: there is nothing to tell apart")
    judged = open_data(options.data.val) if options.data.val is not None else parts.get("validation")
    for part in (learned, judged):
        if part is not None and part.is_any_label_correct:
            raise DataError(f"{part.name}: any of several labels is right there: that is for levit evaluate alone")
    if judged is not None and judged.is_multi_label != learned.is_multi_label:
        raise DataError(f"{judged.name}: one label an image here, and several in {learned.name}")
    return TrainingData(learned, judged)


def check_output_outside_data(sources: TrainingData, run: Path) -> None:
    """Look whether a run would be taken for images of the next one, for there are pictures in its folder.

    Raises:
        ConfigError: it is in a folder whose folders are classes.
    """
    for part in sources:
        if isinstance(part, FileListDataset) and part.is_grouped:
            images = part.files.folder
            if run.resolve().is_relative_to(images.resolve()):
                raise ConfigError(
                    f"--out {run}: it is in {images}, where every folder is a class of images: give one elsewhere"
                )


def _whole(data: str, parts: Mapping[str, LabeledDataset]) -> LabeledDataset:
    """All of the data, where it is in no parts."""
    with suppress(NoSplitError):
        if parts or open_data(data, split="test"):
            raise DataError(f"{data}: there is no train part in it")
    return open_data(data)


def index_training_data(
    sources: TrainingData, options: TrainingOptions, classes: tuple[str, ...], *, writes: bool
) -> tuple[IndexedImages, IndexedImages]:
    """Images to learn from and to choose by, by number.

    Args:
        sources: what is opened.
        options: `out`, for copies; `val_share` and `seed`, where one part gives both.
        classes: the labels of the network.
        writes: whether this process makes the copies.

    Raises:
        DataError: classes of one are not in the other, a class has no image to learn from, or a label is out of range.
    """
    folder = Path(options.run.out) / IMAGE_COPIES
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
    judged: IndexedImages
    learned = _store(sources.learned, folder / "learned", classes, writes=writes)
    if sources.judged is None:
        learned, judged = divide(learned, options.data.val_share, options.run.seed)
    else:
        try:
            judged = _store(sources.judged, folder / "judged", classes, writes=writes)
        except DataError as error:
            raise (DataError(f"--val {options.data.val}: {error}") if options.data.val is not None else error) from None
    if missing := _without(learned, classes):
        raise DataError(f"{sources.learned.name}: no image to learn from for {missing}: leave out what has none")
    if missing := _without(judged, classes):
        name = sources.judged.name if sources.judged is not None else f"the validation share of {sources.learned.name}"
        warnings.warn(f"{name}: no image of {missing}: nobody will know how well they are found", LevitWarning, 2)
    return learned, judged


def divide(images: IndexedImages, share: float, seed: int) -> tuple[Selection, Selection]:
    """A share of every class to choose by, and the others to learn from.

    Of images with several labels it is a share of all, without those that alone have some label.

    Args:
        images: all.
        share: of each class, at least one image of a class that has two.
        seed: of the choice.
    """
    left = count_labels(images)
    by_class: dict[tuple[int, ...], list[int]] = {}
    for index in range(len(images)):
        key = images.labels(index) if not images.is_multi_label else ()
        by_class.setdefault(key, []).append(index)
    chosen: list[int] = []
    for key in sorted(by_class):
        members = by_class[key]
        count = max(1, round(share * len(members))) if share else 0
        for place in np.random.default_rng([seed, *key]).permutation(len(members)):
            if not count:
                break
            labels = list(images.labels(members[place]))
            if (left[labels] > 1).all():
                chosen.append(members[place])
                left[labels] -= 1
                count -= 1
    if not chosen:
        raise DataError("no images to choose the best epoch by: give --val, or a larger --val-share")
    is_judged = np.zeros(len(images), bool)
    is_judged[chosen] = True
    return Selection(images, np.flatnonzero(~is_judged)), Selection(images, np.flatnonzero(is_judged))


def hash_images(*parts: IndexedImages) -> str:
    """A digest of the names and labels of images, in order."""
    found = hashlib.blake2b(digest_size=16)
    for images in parts:
        found.update(f"{len(images)}\n".encode())
        for index in range(len(images)):
            found.update(f"{images.name(index)}\0{images.labels(index)}\n".encode(errors="surrogateescape"))
    return found.hexdigest()


def count_labels(images: IndexedImages) -> NDArray[np.int64]:
    """How many images have each label: int64 [classes]."""
    counts = np.zeros(len(images.classes), np.int64)
    for index in range(len(images)):
        counts[list(images.labels(index))] += 1
    return counts


def _store(data: LabeledDataset, copy: Path, classes: tuple[str, ...], *, writes: bool) -> IndexedImages:
    try:
        places = match_classes(data.classes, classes, data.name).class_indices
    except DataError as error:  # which advises an option of judging
        reason = str(error).removeprefix(f"{data.name}: ").partition(": give --class-map")[0]
        raise DataError(f"{data.name}: {reason}: rename or leave out what is not learned") from error
    return index_images(data, copy, classes=classes, places=places, writes=writes)


def _without(images: IndexedImages, classes: tuple[str, ...]) -> str:
    """The classes without an image, as a text."""
    missing = [classes[place] for place in np.flatnonzero(count_labels(images) == 0)]
    return ", ".join(map(repr, missing[:_SHOWN])) + (f" and {len(missing) - _SHOWN} more" * (len(missing) > _SHOWN))
