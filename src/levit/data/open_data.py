"""Opening of labeled data: the reader for a path or a name on the hub, and the splits of a data set."""

from __future__ import annotations

import re
import warnings
from codecs import BOM_UTF8
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import cast

from levit.data.image_listing import list_folders, list_images
from levit.data.labeled_images import LabeledDataset, NoSplitError
from levit.data.record_values import describe
from levit.data.split_names import SPLIT_NAMES, canonical_split, select_split_files
from levit.errors import DataError, LevitWarning
from levit.files import check_regular_file

_HUB_NAME = re.compile(r"[a-z0-9][\w.-]*/[\w.-]+$", re.ASCII | re.IGNORECASE)
_SPLITS = ("train", "validation", "test")


def open_data(path: str | PathLike[str], *, split: str | None = None, allow_outside: bool = False) -> LabeledDataset:
    """Open labeled images of any supported layout.

    A folder contains

    - a subfolder for each class, or such folders in `train`, `val`, `validation` or `test`;
    - or images with a `metadata.csv` or `metadata.jsonl` that has `file_name` and `label` or `labels`, and may have
      `split`;
    - or parquet files in the Hugging Face image layout, or tar shards as WebDataset writes them, also in `train`,
      `val` …, in `data` or in its only subfolder;
    - or CIFAR-10, CIFAR-100, Flowers-102 or Stanford Cars as their authors distribute them, ImageNet's flat validation
      images with the devkit or a list of synsets, or ImageNet-V2.

    A file is a parquet file or tar shard; a table of any name, with the columns of `metadata.csv`; a list of files and
    class indices, such as mmpretrain's `meta/val.txt`; or the labels of ImageNet-ReaL (`real.json`) or iNaturalist
    (`val2018.json`) next to their images. A name such as `user/flowers` that is not a path is a data set of the Hugging
    Face Hub, which needs `datasets`.

    Args:
        path: the file or folder, or the name on the hub.
        split: validation, test, train or the name of another split; None for the first of these that exists.
            Names of splits are those of `levit.data.split_names.SPLIT_NAMES`, in any case.
        allow_outside: whether tables, lists and parquet files may name images outside the folder of the data.

    Raises:
        DataError: it has none of these layouts, no images, or no such split (`NoSplitError`).
        ImportError: a package that reads this layout is not installed; the message names the extra.

    Examples:
        >>> photos = open_data("examples")
        >>> len(photos), photos.classes
        (4, ())
    """
    source = Path(path)
    if "\0" in fspath(path):
        raise DataError("a path cannot contain a null character", source=describe(fspath(path)))
    try:
        if source.is_dir():
            return _open_folder(source, split, allow_outside=allow_outside)
        if not source.exists():
            if isinstance(path, str) and _HUB_NAME.match(path):
                from levit.data.hub_datasets import HubDataset

                return HubDataset(path, split)
            raise DataError("no such file or folder", source=source)
        return _open_file(source, split, allow_outside=allow_outside)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", source=error.filename or source) from error


def open_split(path: str | PathLike[str], split: str, *, allow_outside: bool = False) -> LabeledDataset:
    """Open a split of labeled data, or the data as `open_data` does if there is no such split.

    Args:
        path: as for `open_data`.
        split: as for `open_data`.
        allow_outside: as for `open_data`.

    Raises:
        DataError, ImportError: as for `open_data`.

    Examples:
        >>> len(open_split("examples", "train"))  # which has no splits
        4
    """
    with suppress(NoSplitError):
        return open_data(path, split=split, allow_outside=allow_outside)
    return open_data(path, allow_outside=allow_outside)


def open_splits(path: str | PathLike[str], *, allow_outside: bool = False) -> dict[str, LabeledDataset]:
    """Open the train, validation and test splits that exist, by name; a data set without splits by the name "all".

    Args:
        path: as for `open_data`.
        allow_outside: as for `open_data`.

    Raises:
        DataError, ImportError: as for `open_data`.

    Examples:
        >>> list(open_splits("examples"))
        ['all']
    """
    splits = {}
    for name in _SPLITS:
        with suppress(NoSplitError):
            splits[name] = open_data(path, split=name, allow_outside=allow_outside)
    return splits or {"all": open_data(path, allow_outside=allow_outside)}


def open_with_other_splits(
    path: str | PathLike[str], *, split: str | None = None, allow_outside: bool = False
) -> tuple[LabeledDataset, dict[str, LabeledDataset], str | None]:
    """Open a split with `open_data`, and the other splits of the data set by name; return also the name of the first.

    Other splits are not opened if that requires a download or reading whole archives (a hub data set, tar shards). A
    split that cannot be opened is left out. The name is None where there are no splits, or it is not known.

    Args:
        path: as for `open_data`.
        split: as for `open_data`.
        allow_outside: as for `open_data`.

    Raises:
        DataError, ImportError: as for `open_data`.

    Examples:
        >>> photos, other_splits, name = open_with_other_splits("examples")
        >>> photos.name, other_splits, name
        ('examples', {}, None)
    """
    from levit.data.tar_shards import TarDataset

    data, source = open_data(path, split=split, allow_outside=allow_outside), Path(path)
    opened = None if split is None else canonical_split(split) or split
    if isinstance(data, TarDataset):
        return data, {}, opened or data.split
    if not source.exists():
        return data, {}, opened
    splits = {}
    for name in _SPLITS:
        with suppress(DataError), warnings.catch_warnings():
            warnings.simplefilter("ignore", LevitWarning)  # those of the split that is opened were issued above
            splits[name] = open_data(path, split=name, allow_outside=allow_outside)
    opened = opened or next((name for name in SPLIT_NAMES if name in splits), None)
    return data, {name: other for name, other in splits.items() if name != opened}, opened


def _open_folder(folder: Path, split: str | None, *, allow_outside: bool) -> LabeledDataset:
    from levit.data import cifar, image_folder, imagenet, matlab_datasets, metadata_table

    if (shards := _open_shards(folder, split, allow_outside=allow_outside)) is not None:
        return shards
    if cifar.is_cifar(folder):
        return cifar.Cifar(folder, split)
    if matlab_datasets.is_flowers(folder):
        return matlab_datasets.open_flowers(folder, split)
    if matlab_datasets.is_cars(folder):
        return matlab_datasets.open_cars(folder, split)
    if (rows := _open_table_of_splits(folder, split, allow_outside=allow_outside)) is not None:
        return rows
    split_folder = image_folder.find_split_folder(folder, split)
    shards = _open_shards(split_folder, None, allow_outside=allow_outside) if split_folder != folder else None
    if shards is not None:
        return shards
    if imagenet.is_flat_validation(split_folder):
        return imagenet.open_flat_validation(split_folder)
    if imagenet.is_version_2(split_folder):
        return imagenet.open_version_2(split_folder)
    # A table in the folder itself may list the images of all splits.
    for parent in dict.fromkeys((split_folder, folder)):
        if (table := metadata_table.find_table(parent)) is not None:
            below = split_folder.relative_to(parent).as_posix().removeprefix(".")
            data = metadata_table.open_image_table(table, below=below, allow_outside=allow_outside)
            if data is not None:
                return data
    return image_folder.open_image_folder(split_folder)


def _open_table_of_splits(folder: Path, split: str | None, *, allow_outside: bool) -> LabeledDataset | None:
    """Open the table of a folder if it has a column of splits, and the folder no subfolders of them."""
    from levit.data.metadata_table import find_table, has_splits, open_image_table

    table = None if any(map(canonical_split, list_folders(folder))) else find_table(folder)
    if table is None or not has_splits(table):
        return None
    return open_image_table(table, split=split, allow_outside=allow_outside)


def _open_shards(folder: Path, split: str | None, *, allow_outside: bool) -> LabeledDataset | None:
    """Open the parquet files or tar shards of a folder; None where it has none."""
    if shards := _parquet_files(folder):
        from levit.data.parquet import ParquetDataset

        return ParquetDataset(select_split_files(shards, split), name=folder.name, allow_outside=allow_outside)
    if shards := _tar_files(folder):
        from levit.data.tar_shards import TarDataset

        return TarDataset(select_split_files(shards, split), name=folder.name)
    return None


def _parquet_files(folder: Path) -> list[Path]:
    """Parquet files of images; next to image files, one without a column of images is another file, as of `embed`."""
    from levit.data.parquet import has_images

    files = _shards(folder, "*.parquet")
    if not files or next(list_images(folder), None) is None:
        return files
    # metadata.parquet may have their labels, as in `datasets`: an error is better than images without labels.
    return [file for file in files if file.name == "metadata.parquet" or has_images(file)]


def _tar_files(folder: Path) -> list[Path]:
    """Tar files, but not those in the folder into which they were unpacked."""
    from levit.data.image_folder import has_folders_of_images
    from levit.data.imagenet import is_flat_validation

    files = _shards(folder, "*.tar")
    return [] if files and (has_folders_of_images(folder) or is_flat_validation(folder)) else files


def _shards(folder: Path, pattern: str) -> list[Path]:
    """Files that match a pattern, sorted, without the metadata files of macOS (`._…`).

    If there are none in the folder, they are those in `data` or in the only subfolder, as a data set of the Hub has one
    for its only configuration.
    """
    folders = list_folders(folder)
    below = [name for name in folders if name == "data" or (len(folders) == 1 and canonical_split(name) is None)]
    for parent in (folder, *(folder / name for name in below)):
        if files := sorted(file for file in parent.glob(pattern) if not file.name.startswith("._")):
            return files
    return []


def _open_file(file: Path, split: str | None, *, allow_outside: bool) -> LabeledDataset:
    check_regular_file(file, DataError)
    if file.suffix in (".csv", ".jsonl"):
        from levit.data.metadata_table import open_image_table

        # None only for a subfolder
        return cast(LabeledDataset, open_image_table(file, split=split, allow_outside=allow_outside))
    if split is not None:
        raise NoSplitError("a file has no splits", source=file, hint=f"leave out split {split!r}")
    if file.suffix == ".txt":
        from levit.data.annotation_lists import open_annotations

        return open_annotations(file, allow_outside=allow_outside)
    if file.suffix == ".json":
        from levit.data.coco import open_coco
        from levit.data.imagenet import open_real_labels

        with file.open("rb") as stream:
            is_list = stream.read(64).removeprefix(BOM_UTF8).lstrip().startswith(b"[")
        return open_real_labels(file) if is_list else open_coco(file, allow_outside=allow_outside)
    if file.suffix == ".tar":
        from levit.data.tar_shards import TarDataset

        return TarDataset([file])
    if file.suffix == ".parquet":
        from levit.data.parquet import ParquetDataset

        return ParquetDataset([file], allow_outside=allow_outside)
    hint = "give a folder of images, a .parquet or .tar file, a table (.csv, .jsonl), or a list (.txt, .json)"
    raise DataError("not labeled data", source=file, hint=hint)
