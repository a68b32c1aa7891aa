"""ImageNet's validation images without folders, and the sets of others that judge its models anew."""

from __future__ import annotations

import json
import re
from pathlib import Path

from levit.data.file_list import FileList, FileListDataset
from levit.data.image_folder import list_images
from levit.errors import DataError
from levit.spec.labels import IMAGENET_CLASSES, imagenet_classes

_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG$")
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"
_SYNSET_LISTS = ("imagenet_2012_validation_synset_labels.txt", "synset_labels.txt", "val_synsets.txt")


# The classes of ImageNet, by their WordNet ids.
_CLASSES = tuple(identifier for identifier, _ in imagenet_classes())


def is_flat_validation(folder: Path) -> bool:
    """Whether a folder holds the validation images as the archive of ILSVRC 2012 unpacks them."""
    return next(folder.glob("ILSVRC2012_val_????????.JPEG"), None) is not None


def open_flat_validation(folder: Path) -> FileListDataset:
    """The flat validation folder, with the labels of the devkit or of a list of WordNet ids.

    The devkit (`ILSVRC2012_devkit_t12`, which needs scipy) or the list (a line for each image, in their order) stands
    in the folder or beside it.

    Raises:
        DataError: neither is there, or it has another length than the highest number of an image.
    """
    truth = _devkit_labels(folder) or _listed_labels(folder)
    if truth is None:
        raise DataError(
            f"{folder}: no labels: put the devkit (ILSVRC2012_devkit_t12) or {_SYNSET_LISTS[0]} into it or beside it"
        )
    places = {identifier: index for index, identifier in enumerate(_CLASSES)}
    files = FileList(folder)
    for name in list_images(folder):
        number = int(found[1]) if (found := _VALIDATION.search(name)) else 0
        if not 1 <= number <= len(truth):
            raise DataError(f"{folder / name}: there are labels for the images 1 to {len(truth)} only")
        files.add(name, (places[truth[number - 1]],))
    return FileListDataset(name=f"ImageNet validation ({folder.name})", classes=_CLASSES, files=files)


def is_version_2(folder: Path) -> bool:
    """Whether a folder has ImageNet-V2's subfolders, which are the numbers of the classes."""
    return all((folder / str(number)).is_dir() for number in (0, 1, 10, IMAGENET_CLASSES - 1))


def open_version_2(folder: Path) -> FileListDataset:
    """ImageNet-V2: the subfolders 0 to 999 are the classes in the order of their WordNet ids."""
    files = FileList(folder)
    for number in range(IMAGENET_CLASSES):
        if (folder / str(number)).is_dir():
            for name in list_images(folder, str(number)):
                files.add(name, (number,))
    return FileListDataset(name=f"ImageNet-V2 ({folder.name})", classes=_CLASSES, files=files, is_grouped=True)


def open_real_labels(file: Path) -> FileListDataset:
    """ImageNet-ReaL: `real.json`, the labels of each validation image in order; an image may have none.

    The images are in the folder of the file, or in `val` or `ILSVRC2012_img_val` there.

    Raises:
        DataError: the file is of another kind, or there are no images.
    """
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    if not isinstance(labels, list) or not all(isinstance(of_one, list) for of_one in labels):
        raise DataError(f"{file}: not the labels of ImageNet-ReaL, a list of lists of numbers")
    folder = next(
        (one for name in ("", "val", "ILSVRC2012_img_val") if is_flat_validation(one := file.parent / name)), None
    )
    if folder is None:
        raise DataError(f"{file}: no ILSVRC2012_val_….JPEG beside it, in val or in ILSVRC2012_img_val")
    files = FileList(folder)
    for name in list_images(folder):
        number = int(found[1]) if (found := _VALIDATION.search(name)) else 0
        if not 1 <= number <= len(labels):
            raise DataError(f"{folder / name}: there are labels for the images 1 to {len(labels)} only")
        files.add(name, labels[number - 1])
    return FileListDataset(name="ImageNet-ReaL", classes=_CLASSES, files=files, is_any_label_correct=True)


def _devkit_labels(folder: Path) -> list[str] | None:
    for devkit in (folder / "ILSVRC2012_devkit_t12", folder.parent / "ILSVRC2012_devkit_t12"):
        if (devkit / "data" / _TRUTH).is_file():
            from levit.data.matlab_files import read_matlab

            # The devkit numbers classes in an order of its own.
            synsets = {
                int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in read_matlab(devkit / "data/meta.mat")["synsets"]
            }
            lines = (devkit / "data" / _TRUTH).read_text(encoding="ascii").split()
            return [synsets[int(line)] for line in lines]
    return None


def _listed_labels(folder: Path) -> list[str] | None:
    for place in (folder, folder.parent):
        for name in _SYNSET_LISTS:
            if (place / name).is_file():
                return (place / name).read_text(encoding="ascii").split()
    return None
