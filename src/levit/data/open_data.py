"""What a path to labeled images means: which reader opens it."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from levit.data.labeled_images import LabeledDataset, NoSplitError
from levit.errors import DataError

_HUB_NAME = re.compile(r"[a-z0-9][\w.-]*/[\w.-]+$", re.ASCII | re.IGNORECASE)


def open_data(path: str | Path, *, split: str | None = None) -> LabeledDataset:
    """Open labeled images, in whichever layout they are.

    A folder may be

    - one with a subfolder for each class, or such folders in `train`, `val`, `validation`, `test`;
    - one with a `metadata.csv` or `metadata.jsonl` beside the images, with `file_name` and `label` or `labels`;
    - one of parquet files in the Hugging Face image layout, or of tar shards as WebDataset writes them;
    - CIFAR-10, Flowers-102 or Stanford Cars as their authors distribute them, ImageNet's flat validation folder with
      the devkit or a list of synsets, or ImageNet-V2.

    A file may be one parquet file or tar shard; a list of files and numbers, as mmpretrain's `meta/val.txt`; the labels
    of ImageNet-ReaL (`real.json`) or of iNaturalist (`val2018.json`) beside their images. A name such as
    `user/flowers` that is no path is a data set of the hub, which needs `datasets`.

    Args:
        path: the file or folder, or the name on the hub.
        split: which part, where there are several: validation, test, train; None for the first of these.

    Raises:
        DataError: it is none of these, has no images, or not this part.
        ImportError: what reads it is not installed.

    Examples:
        >>> photos = open_data("examples")
        >>> len(photos), photos.classes
        (4, ())
    """
    source = Path(path)
    if source.is_dir():
        return _open_folder(source, split)
    if not source.exists():
        if isinstance(path, str) and _HUB_NAME.match(path):
            from levit.data.hub_datasets import HubDataset

            return HubDataset(path, split)
        raise DataError(f"{source}: no such file or folder")
    if split is not None:
        raise NoSplitError(f"{source}: a file has no splits: leave out split {split!r}")
    return _open_file(source)


def open_splits(path: str | Path) -> dict[str, LabeledDataset]:
    """The parts of the data for training, validation and testing, by name; without any, the whole by the name "all".

    Raises:
        DataError, ImportError: as `open_data` does.

    Examples:
        >>> list(open_splits("examples"))
        ['all']
    """
    parts = {}
    for split in ("train", "validation", "test"):
        with suppress(NoSplitError):
            parts[split] = open_data(path, split=split)
    return parts or {"all": open_data(path)}


def open_with_other_splits(
    path: str | Path, *, split: str | None = None
) -> tuple[LabeledDataset, dict[str, LabeledDataset]]:
    """What `open_data` opens, and the other parts of the data by name.

    Where looking at the others would mean a download or reading whole archives (a name on the hub, tar shards), there
    are none.

    Raises:
        DataError, ImportError: as `open_data` does.

    Examples:
        >>> photos, others = open_with_other_splits("examples")
        >>> photos.name, others
        ('examples', {})
    """
    from levit.data import image_folder, matlab_datasets
    from levit.data.tar_shards import TarDataset

    images, source = open_data(path, split=split), Path(path)
    if not source.is_dir() or isinstance(images, TarDataset):
        return images, {}
    others = {}
    for name in ("train", "validation", "test"):
        with suppress(DataError):  # what cannot be opened is not asked for
            others[name] = open_data(path, split=name)
    order = ("test",) if matlab_datasets.is_flowers(source) else image_folder.SPLITS
    chosen = next((name for name in order if name in others), None)
    if split is not None:
        chosen = next((name for name, names in image_folder.SPLITS.items() if split in names), split)
    return images, {name: part for name, part in others.items() if name != chosen}


def _open_folder(folder: Path, split: str | None) -> LabeledDataset:
    from levit.data import cifar, image_folder, imagenet, matlab_datasets, metadata_table

    if shards := sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet")):
        from levit.data.parquet import ParquetDataset

        return ParquetDataset(image_folder.files_of_split(shards, split), name=folder.name)
    # Archives may still lie where they were unpacked.
    if (shards := sorted(folder.glob("*.tar"))) and not image_folder.has_folders_of_images(folder):
        from levit.data.tar_shards import TarDataset

        return TarDataset(image_folder.files_of_split(shards, split), name=folder.name)
    if cifar.is_cifar(folder):
        return cifar.Cifar10(folder, split)
    if matlab_datasets.is_flowers(folder):
        return matlab_datasets.open_flowers(folder, split)
    if matlab_datasets.is_cars(folder):
        return matlab_datasets.open_cars(folder, split)
    part = image_folder.find_split(folder, split)
    if imagenet.is_flat_validation(part):
        return imagenet.open_flat_validation(part)
    if imagenet.is_version_2(part):
        return imagenet.open_version_2(part)
    table = metadata_table.find_table(part)
    return image_folder.open_image_folder(part) if table is None else metadata_table.open_image_table(table)


def _open_file(file: Path) -> LabeledDataset:
    if file.suffix == ".txt":
        from levit.data.annotation_lists import open_annotations

        return open_annotations(file)
    if file.suffix == ".json":
        from levit.data.coco import open_coco
        from levit.data.imagenet import open_real_labels

        with file.open("rb") as stream:
            is_list = stream.read(64).lstrip().startswith(b"[")
        return open_real_labels(file) if is_list else open_coco(file)
    if file.suffix == ".tar":
        from levit.data.tar_shards import TarDataset

        return TarDataset([file])
    if file.suffix != ".parquet":
        raise DataError(f"{file}: give a folder of images, a .parquet or .tar file, or a list (.txt, .json)")
    from levit.data.parquet import ParquetDataset

    return ParquetDataset([file])
