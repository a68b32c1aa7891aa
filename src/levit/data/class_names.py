"""Class names of a data set that stores only class indices: from a list next to the data, or those of ImageNet."""

from __future__ import annotations

from pathlib import Path

from levit.data.record_values import normalize_name, read_text
from levit.errors import DataError
from levit.spec.labels import IMAGENET_CLASSES, imagenet_classes

_FILE_NAMES = ("classes.txt", "synsets.txt", "labels.txt")
_MIN_IMAGENET_CLASSES = 0.9 * IMAGENET_CLASSES


def read_class_names(file: Path, num_classes: int) -> tuple[str, ...]:
    """Read the class names for a file of class indices.

    The names are the lines of `classes.txt`, `synsets.txt` or `labels.txt` next to the file. Without such a list, 901
    to 1000 classes (the last ones may have no images) are those of ImageNet, by their WordNet ids.

    Args:
        file: file that contains the labels.
        num_classes: highest label + 1.

    Raises:
        DataError: there are no names, or fewer names than classes.
    """
    for name in _FILE_NAMES:
        candidate = file.parent / name
        if candidate.is_file() and not candidate.samefile(file):
            return _read_names(candidate, num_classes)
    if _MIN_IMAGENET_CLASSES < num_classes <= IMAGENET_CLASSES:
        return tuple(identifier for identifier, _ in imagenet_classes())
    hint = f"write them into {_FILE_NAMES[0]} next to it, in order"
    raise DataError(f"its {num_classes} classes have no names", source=file, hint=hint)


def _read_names(file: Path, num_classes: int) -> tuple[str, ...]:
    names = tuple(normalize_name(line) for line in read_text(file).splitlines() if line.strip())
    if len(names) < num_classes:
        raise DataError(f"{len(names)} names for {num_classes} classes", source=file)
    return names
