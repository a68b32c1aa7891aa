"""Names of the splits of a data set: train, validation and test, and the other names in use for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from levit.data.labeled_images import NoSplitError

SPLIT_NAMES = {
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
    "train": ("train", "training"),
}
"""Names of folders and files of each split, in lower case; those that `datasets` knows. If no split is requested, the
first one that exists is opened."""


def canonical_split(name: str) -> str | None:
    """The split that a name in any spelling stands for: validation, test or train; None for another name.

    Examples:
        >>> canonical_split("Dev"), canonical_split("TRAIN"), canonical_split("cat")
        ('validation', 'train', None)
    """
    return next((split for split, names in SPLIT_NAMES.items() if name.casefold() in names), None)


def find_split_name(available: Collection[str], split: str | None) -> str | None:
    """Find the name of a split among the available names, regardless of case.

    Args:
        available: names of folders, files or splits.
        split: validation, test, train, another name of one of these, or any of the available names; None for the first
            of validation, test and train that is available.

    Returns:
        One of the available names, or None.

    Examples:
        >>> find_split_name(["train", "valid"], None), find_split_name(["Train", "valid"], "train")
        ('valid', 'Train')
    """
    if split in available:
        return split
    if split is None:
        names = [name for names in SPLIT_NAMES.values() for name in names]
    else:
        names = [split.casefold(), *SPLIT_NAMES.get(canonical_split(split) or "", ())]
    spellings: dict[str, str] = {}
    for name in sorted(available, reverse=True):  # so that the lower-case spelling takes precedence
        spellings.setdefault(name.casefold(), name)
    return next((spellings[name] for name in names if name in spellings), None)


def no_split_error(source: object, split: str, available: Collection[str]) -> NoSplitError:
    """Create the error for a split that does not exist."""
    return NoSplitError(f"no split {split!r} (available: {', '.join(available) or 'none'})", source=source)


def choose_split(source: object, available: Collection[str], split: str | None) -> str:
    """Choose one of the splits of a data set as `find_split_name`.

    Args:
        source: source of the error.
        available: names of the splits, at least one of which is a name of validation, test or train.
        split: as for `find_split_name`.

    Raises:
        NoSplitError: there is no such split.

    Examples:
        >>> choose_split("cifar", ["train", "test"], "Training")
        'train'
    """
    name = find_split_name(available, split)
    if name is None:
        raise no_split_error(source, str(split), available)
    return name


def split_of_file(file: Path) -> str | None:
    """The split in the name of a file, or else of its folder; None where neither contains one.

    Examples:
        >>> split_of_file(Path("pets/pets-val-0.tar")), split_of_file(Path("pets/train/0.tar"))
        ('validation', 'train')
    """
    names = map(canonical_split, reversed([file.parent.name, *re.split(r"[-_.]", file.stem)]))
    return next((name for name in names if name is not None), None)


def select_split_files(files: Sequence[Path], split: str | None) -> list[Path]:
    """Select the files of a split by their names: `validation-00000-of-00002.parquet`, `flowers-train-0007.tar`.

    Args:
        files: at least one file.
        split: as for `find_split_name`; if it is None and no file name contains a split, all files are selected.

    Raises:
        NoSplitError: no file name contains the split.
    """
    groups: dict[str, list[Path]] = {}
    for file in files:
        words = re.split(r"[-_.]", file.stem)
        splits = [name for word in words if (name := canonical_split(word)) is not None]
        groups.setdefault(splits[-1] if splits else words[0], []).append(file)
    name = find_split_name(groups, split)
    if name is not None:
        return groups[name]
    if split is not None:
        raise no_split_error(files[0].parent, split, sorted(groups))
    return list(files)
