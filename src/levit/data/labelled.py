"""Labelled images, wherever they are: the protocol and `open_data()`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from levit.errors import DataError
from levit.images.reading import ImageSource


class LabelledImage(NamedTuple):
    """One image as it is stored.

    Attributes:
        image: its path, or the bytes of its file.
        labels: the indices of its classes: none where nobody labelled it, several where several are right.
        name: what to call it.
    """

    image: ImageSource
    labels: tuple[int, ...]
    name: str


class LabelledImages(Protocol):
    """Images with labels that can be gone through any number of times.

    Attributes:
        name: of the file or folder.
        classes: the names that labels are indices of; empty where there are no labels.
        is_multi_label: whether an image may have any number of labels, of which all are right.
    """

    name: str
    classes: tuple[str, ...]
    is_multi_label: bool

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[LabelledImage]: ...

    def sha256(self) -> str:
        """Of what was read, so that a measurement can be told from one on other data."""
        ...


def open_data(path: str | Path, *, split: str | None = None) -> LabelledImages:
    """Open labelled images.

    - a folder with one subfolder for each class, or such folders in `train`, `val`, `validation`, `test`;
    - a folder with a `metadata.csv` or `metadata.jsonl` beside the images, with `file_name` and `label` or `labels`;
    - a list of files and numbers as mmpretrain's `meta/val.txt`;
    - a parquet file in the Hugging Face image layout, or a folder of them.

    Args:
        path: the file or folder.
        split: which part, where there are several: validation, test, train; None for the first of these.

    Raises:
        DataError: it is none of these, has no images, or not this part.

    Examples:
        >>> photos = open_data("examples")
        >>> len(photos), photos.classes
        (4, ())
    """
    source = Path(path)
    if source.is_dir():
        return _open_folder(source, split)
    if not source.exists():
        raise DataError(f"{source}: no such file or folder")
    if split is not None:
        raise DataError(f"{source}: a file has no splits: leave out split {split!r}")
    if source.suffix == ".txt":
        from levit.data.annotations import AnnotationList

        return AnnotationList(source)
    if source.suffix != ".parquet":
        raise DataError(f"{source}: give a folder of images, a .parquet file or a .txt list")
    from levit.data.parquet import ImageParquet

    return ImageParquet([source])


def _open_folder(folder: Path, split: str | None) -> LabelledImages:
    from levit.data.folder import ImageFolder, find_split
    from levit.data.metadata import ImageTable, find_table

    if shards := sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet")):
        from levit.data.parquet import ImageParquet, of_split

        return ImageParquet(of_split(shards, split), name=folder.name)
    part = find_split(folder, split)
    table = find_table(part)
    return ImageFolder(part) if table is None else ImageTable(table)
