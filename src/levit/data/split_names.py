"""Names of the splits of a data set: train, validation and test, and the other names in use for them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from levit.data.labeled_images import NoSplitError

SPLIT_NAMES = {
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
    "train": ("train", "training"),
}
"""Names of folders and files of each split. If no split is requested, the first one that exists is opened."""


def find_split_name(available: Collection[str], split: str | None) -> str | None:
    """Find the name of a split among the available names.

    Args:
        available: names of folders, files or splits.
        split: validation, test, train, another name of one of these, or any of the available names; None for the first
            of validation, test and train that is available.

    Returns:
        One of the available names, or None.

    Examples:
        >>> find_split_name(["train", "valid"], None), find_split_name(["train", "valid"], "validation")
        ('valid', 'valid')
    """
    if split is None:
        return next((name for names in SPLIT_NAMES.values() for name in names if name in available), None)
    synonyms = next((names for names in SPLIT_NAMES.values() if split in names), ())
    return next((name for name in (split, *synonyms) if name in available), None)


def no_split_error(source: object, split: str, available: Collection[str]) -> NoSplitError:
    """Create the error for a split that does not exist."""
    return NoSplitError(f"no split {split!r} (available: {', '.join(available) or 'none'})", source=source)


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
        split_words = [name for word in words for name, names in SPLIT_NAMES.items() if word in names]
        groups.setdefault(split_words[-1] if split_words else words[0], []).append(file)
    name = find_split_name(groups, split)
    if name is not None:
        return groups[name]
    if split is not None:
        raise no_split_error(files[0].parent, split, sorted(groups))
    return list(files)
