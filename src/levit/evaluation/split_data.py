"""Split of labeled images into training, validation and test sets on disk, with duplicates kept together."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.data.duplicates import hash_images
from levit.data.file_list import FileListDataset
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_data, open_splits
from levit.data.record_values import read_text
from levit.data.split_folder import LIST_FILE, check_is_new, place_files, write_split
from levit.data.splitting import PARTS, Part, assign_parts, group_images, join_groups
from levit.errors import ConfigError, DataError, LevitWarning
from levit.evaluation.near_duplicates import (
    THRESHOLD,
    EmbeddingProgress,
    check_threshold,
    compute_features,
    group_near_duplicates,
)
from levit.runtime.cpu_count import usable_cores

Pairs = list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class SplitReport:
    """Result of a split.

    Attributes:
        folder: the folder that was written.
        list_file: its table of all files: file, part, label, group of duplicates, source.
        num_images: number of images in each part, by name; parts without images are missing.
        num_classes: number of classes.
        num_copies: number of images with the content of an earlier one.
        num_similar: number of further images that are near-duplicates of an earlier one.
        missing_classes: for each part with images, names of the classes of which it has none, but another part has.
    """

    folder: Path
    list_file: Path
    num_images: Mapping[Part, int]
    num_classes: int
    num_copies: int
    num_similar: int
    missing_classes: Mapping[Part, tuple[str, ...]]


def split_data(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    test: float | None = None,
    val: float | None = None,
    test_files: str | PathLike[str] | None = None,
    val_files: str | PathLike[str] | None = None,
    seed: int = 0,
    similarity: float | None = THRESHOLD,
    link: bool = False,
    split: str | None = None,
    allow_outside: bool = False,
    progress: EmbeddingProgress = lambda embeddings: embeddings,
) -> SplitReport:
    """Copy or link labeled images into a new folder with training, validation and test images.

    The choice is random, class by class. Duplicates are in the same part: files of the same content, and images with
    almost the same features, such as edited copies. The folder is complete or absent, and can be given to
    `levit.train` and `levit.evaluate`; nothing is changed in the data.

    Args:
        data: a path as for `levit.open_data`, whose images are files: a folder, a table or a list.
        out: folder to create.
        test: fraction of the images of each class for `test/`, in [0, 1); None for 0.2, or 0 with a list of files.
        val: the same for `val/`; None for 0.1, or 0 with a list of files.
        test_files: list of the files for `test/`, such as `val_files.csv` of a run of `levit.train`, its validation
            images: a CSV table with the column `file`, or a text file with a name in each line.
        val_files: the same for `val/`.
        seed: seed of the random choice, at least 0.
        similarity: smallest similarity of the features of the embedded model at which two images are near-duplicates,
            in (0, 1]; None for files of the same content only.
        link: True for symbolic links in place of copies.
        split: the only split to divide, where the data has several.
        allow_outside: whether a table of images may name files outside its folder.
        progress: wraps the iterator over the features of the images, for example in a progress bar.

    Raises:
        ConfigError: a fraction, the similarity or the seed is out of range.
        DataError: the images are not files, have no labels or are in splits already; the folder exists, or is inside
            that of the images; or a listed file is not among them, or is in both lists.

    Examples:
        >>> import levit
        >>> levit.split_data("examples", "split")
        Traceback (most recent call last):
        levit.errors.DataError: examples: no labels: put the images into one folder for each class
    """
    fractions = _fractions(test, val, has_list=test_files is not None or val_files is not None)
    _check(similarity, seed)
    check_is_new(Path(out))
    images = _open_files(data, split, allow_outside=allow_outside)
    _check_is_apart(Path(out), images)
    chosen = _chosen_images(images, {"val": val_files, "test": test_files})
    groups, num_copies = _group(images, similarity, progress)
    _warn_of_moved(images, groups, chosen)
    labels = [images.files.labels(index) for index in range(len(images))]
    parts = assign_parts(
        labels, groups, num_classes=len(images.classes), fractions=fractions, seed=seed,
        is_multi_label=images.is_multi_label, chosen=chosen,
    )  # fmt: skip
    write_split(place_files(images, parts, _numbered(groups)), images, Path(out), is_linked=link)
    return SplitReport(
        folder=Path(out),
        list_file=Path(out) / LIST_FILE,
        num_images={part: count for part in PARTS if (count := parts.count(part))},
        num_classes=len(images.classes),
        num_copies=num_copies,
        num_similar=len(images) - len(np.unique(groups)) - num_copies,
        missing_classes=_missing_classes(labels, parts, images.classes),
    )


def _check(similarity: float | None, seed: int) -> None:
    if similarity is not None:
        check_threshold(similarity)
    if seed < 0:
        raise ConfigError(f"is {seed}", source="seed", hint="give at least 0")


def _fractions(test: float | None, val: float | None, *, has_list: bool) -> dict[Part, float]:
    """Fractions of the parts, checked; the defaults depend on whether there is a list of files."""
    fractions = {
        "test": (0.0 if has_list else 0.2) if test is None else test,
        "val": (0.0 if has_list else 0.1) if val is None else val,
    }
    for name, fraction in fractions.items():
        if not 0 <= fraction < 1:
            raise ConfigError(f"is {fraction}", source=name, hint="give a fraction from 0 to less than 1")
    if sum(fractions.values()) >= 1:
        raise ConfigError("`test` and `val` leave no image for training", hint="give less than 1 in sum")
    return fractions


def _open_files(data: str | PathLike[str], split: str | None, *, allow_outside: bool) -> FileListDataset:
    """Open data whose images are files, with labels of its classes."""
    images: LabeledDataset
    if split is not None:
        images = open_data(data, split=split, allow_outside=allow_outside)
    else:
        splits = open_splits(data, allow_outside=allow_outside)
        if len(splits) > 1 or "all" not in splits:
            names = " and ".join(splits)
            raise DataError(f"has splits already: {names}", source=data, hint="choose one of them by `split`")
        images = splits["all"]
    if not isinstance(images, FileListDataset):
        reason = "its images are inside of other files, and cannot be copied or linked"
        raise DataError(reason, source=data, hint="give a folder, a table or a list of image files")
    if not images.classes:
        raise DataError("no labels", source=images.name, hint="put the images into one folder for each class")
    for item in images:
        if any(label >= len(images.classes) for label in item.labels):
            raise DataError(f"{item.name} has a label that is none of {len(images.classes)} classes", source=data)
    return images


def _check_is_apart(out: Path, images: FileListDataset) -> None:
    folder = images.files.folder
    if images.is_class_folder and out.resolve().is_relative_to(folder.resolve()):
        reason = f"is inside {folder}, where every folder is a class of images"
        raise DataError(reason, source=out, hint="choose another folder")


def _chosen_images(images: FileListDataset, lists: Mapping[Part, str | PathLike[str] | None]) -> dict[Part, list[int]]:
    """Images whose part is given: those of the lists, and, for training, those without a label."""
    unlabeled = [] if images.is_multi_label else [index for index, item in enumerate(images) if not item.labels]
    chosen: dict[Part, list[int]] = {"train": unlabeled}
    for part, file in lists.items():
        if file is not None:
            chosen[part] = _find_listed(images, Path(file))
    for index in {*chosen.get("val", ())}.intersection(chosen.get("test", ())):
        reason = f"lists {images.files.name(index)}, which is also in {lists['test']}"
        raise DataError(reason, source=lists["val"], hint="leave it out of one of them")
    return chosen


def _warn_of_moved(images: FileListDataset, groups: NDArray[np.int64], chosen: Mapping[Part, Sequence[int]]) -> None:
    """Warn about images that duplicates in a list bring into another part: listed for `val/`, or not listed at all.

    A model may have been trained on those that are not listed, as by `levit train`, which compares no contents.
    """
    tested = {int(groups[index]) for index in chosen.get("test", ())}
    moved = [index for index in chosen.get("val", ()) if int(groups[index]) in tested]
    _warn(images, moved, "in test/ instead of val/, because of duplicates in the list of test/")
    listed = {index for indices in chosen.values() for index in indices}
    listed_groups = {int(groups[index]) for index in listed}
    brought = [index for index in range(len(images)) if int(groups[index]) in listed_groups and index not in listed]
    _warn(images, brought, "held out because of duplicates in a list: evaluate no model there that was trained on them")


def _warn(images: FileListDataset, indices: Sequence[int], what: str) -> None:
    if indices:
        count = "1 image is" if len(indices) == 1 else f"{len(indices):,} images are"
        text = f"{images.name}: {count} {what} ({images.files.name(indices[0])})"
        warnings.warn(text, LevitWarning, stacklevel=4)


def _find_listed(images: FileListDataset, file: Path) -> list[int]:
    """Numbers of the images that a file lists, by their names in the data or as paths."""
    lines = read_text(file, errors="surrogateescape").splitlines()
    if file.suffix == ".csv":
        lines = [row.get("file") or "" for row in csv.DictReader(lines)]
    names = {images.files.name(index): index for index in range(len(images))}
    paths = {(images.files.folder / name).resolve(): index for name, index in names.items()}
    found = []
    for line in filter(None, map(str.strip, lines)):
        index = names.get(line, paths.get(Path(line).resolve()))
        if index is None:
            raise DataError(f"lists {line}, which is not among the images of {images.name}", source=file)
        found.append(index)
    if not found:
        hint = "a CSV table needs the column file" if file.suffix == ".csv" else None
        raise DataError("lists no files", source=file, hint=hint)
    return found


def _copies(images: FileListDataset) -> Pairs:
    """Pairs of an image and an earlier one with the same content."""
    first: dict[bytes, int] = {}
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="levit-hash") as pool:
        hashes = [digest for _, digest in hash_images(images, pool)]
    return [(first.setdefault(digest, index), index) for index, digest in enumerate(hashes) if digest]


def _group(
    images: FileListDataset, similarity: float | None, progress: EmbeddingProgress
) -> tuple[NDArray[np.int64], int]:
    """Groups of duplicates and near-duplicates, and the number of images with the content of an earlier one."""
    groups = group_images(len(images), _copies(images))
    num_copies = len(images) - len(np.unique(groups))
    if similarity is not None:
        numbers, features = compute_features((item.image for item in images), progress=progress)
        join_groups(groups, numbers, numbers[group_near_duplicates(features, threshold=similarity)])
    return groups, num_copies


def _numbered(groups: NDArray[np.int64]) -> list[int]:
    """Number of the group of each image, from 1; 0 for an image that is alone."""
    sizes = Counter(groups.tolist())
    numbers = {group: number for number, group in enumerate((group for group in sizes if sizes[group] > 1), 1)}
    return [numbers.get(group, 0) for group in groups.tolist()]


def _missing_classes(
    labels: list[tuple[int, ...]], parts: list[Part], classes: tuple[str, ...]
) -> dict[Part, tuple[str, ...]]:
    found: dict[Part, set[int]] = {part: set() for part in parts}
    for image, part in zip(labels, parts, strict=True):
        found[part].update(image)
    occurring = set[int]().union(*found.values())
    missing = {part: sorted(occurring - labels_of_part) for part, labels_of_part in found.items()}
    return {part: tuple(classes[label] for label in absent) for part, absent in missing.items() if absent}
