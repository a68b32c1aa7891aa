"""Labelled images, wherever they are: the protocol and `open_data()`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from levit.errors import DataError
from levit.images.reading import ImageSource


class LabelledImage(NamedTuple):
    """One image as it is stored, and its class; None where it has none."""

    image: ImageSource
    label: int | None


class LabelledImages(Protocol):
    """Images with labels that can be gone through any number of times.

    Attributes:
        name: of the file or folder.
        classes: the names that labels are indices of; empty where there are no labels.
    """

    name: str
    classes: tuple[str, ...]

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabelledImage]: ...

    def sha256(self) -> str:
        """Of what was read, so that a measurement can be told from one on other data."""
        ...


def open_data(path: str | Path) -> LabelledImages:
    """Open a folder of images, one subfolder for each class, or a parquet file in the Hugging Face image layout.

    Raises:
        DataError: it is neither, or has no images.

    Examples:
        >>> photos = open_data("examples")
        >>> len(photos), photos.classes
        (4, ())
    """
    source = Path(path)
    if source.is_dir():
        from levit.data.folder import ImageFolder

        return ImageFolder(source)
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if source.suffix != ".parquet":
        raise DataError(f"{source}: give a folder of images or a .parquet file")
    from levit.data.parquet import ImageParquet

    return ImageParquet(source)


def match_classes(classes: Sequence[str], labels: Sequence[str], name: str) -> list[int]:
    """For each class of the data the index of the model's label of the same name.

    Raises:
        DataError: a class has no label of its name, or several.

    Examples:
        >>> match_classes(["dog", "cat"], ["cat", "dog", "fish"], "pets")
        [1, 0]
    """
    places: dict[str, int] = {}
    for index, label in enumerate(labels):
        if label in classes and label in places:
            raise DataError(f"{name}: the model has two labels called {label!r}, so classes cannot be matched by name")
        places[label] = index
    unknown = [one for one in classes if one not in places]
    if unknown:
        first = ", ".join(map(repr, unknown[:3])) + (", …" if len(unknown) > 3 else "")
        raise DataError(f"{name}: the model has no label for {len(unknown)} of {len(classes)} classes ({first})")
    return [places[one] for one in classes]
