"""The names of classes that are numbers: a list beside the data, or those of ImageNet."""

from __future__ import annotations

from pathlib import Path

from levit.errors import DataError
from levit.spec.labels import IMAGENET_CLASSES, imagenet_classes

_LISTS = ("classes.txt", "synsets.txt", "labels.txt")


def read_class_names(file: Path, count: int) -> tuple[str, ...]:
    """The names of the classes 0, 1, … of a file of labels.

    They are the lines of `classes.txt`, `synsets.txt` or `labels.txt` beside it. Without such a file, more than 900
    and up to a thousand classes (the last ones need not occur) are ImageNet's, by their WordNet ids.

    Args:
        file: that has the labels.
        count: the highest label and one.

    Raises:
        DataError: there are no names, or fewer than classes.
    """
    for name in _LISTS:
        beside = file.parent / name
        if beside.is_file() and not beside.samefile(file):
            try:
                lines = beside.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise DataError(f"{beside}: cannot be read ({error})") from error
            names = tuple(line.strip() for line in lines if line.strip())
            if len(names) < count:
                raise DataError(f"{beside}: {len(names)} names for {count} classes")
            return names
    if 0.9 * IMAGENET_CLASSES < count <= IMAGENET_CLASSES:
        return tuple(identifier for identifier, _ in imagenet_classes())
    raise DataError(f"{file}: its {count} classes have no names: write them into {_LISTS[0]} beside it, in order")
