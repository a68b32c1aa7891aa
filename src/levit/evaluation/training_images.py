"""Training images of a run, recorded by name and size, and a warning where a model is evaluated on them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from os import PathLike
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import LabeledImage
from levit.errors import LevitWarning
from levit.files import replacing

TRAINING_IMAGES_FILE = "train_images.npy"
"""In a run directory: uint64 [images], sorted; for each training image a hash of its name, label and size in bytes."""

_NOTEWORTHY_SHARE = 0.1


def write_training_images(run: Path, images: Iterable[tuple[str, str, object]]) -> None:
    """Record the training images of a run.

    Args:
        run: the run directory.
        images: name, label and file, or its content, of each image.
    """
    hashes = np.array([_hash(*image) for image in images], np.uint64)
    with replacing(run / TRAINING_IMAGES_FILE) as partial, partial.open("wb") as stream:
        np.save(stream, np.unique(hashes))


class TrainingImageCounter:
    """Counts the images of an evaluation that a model was trained on.

    Args:
        model: path of the model; a run directory, or a checkpoint in one, has the record of its images.
    """

    def __init__(self, model: Path | None) -> None:
        self._model, self._count = model, 0
        self._hashes = np.empty(0, np.uint64) if model is None else _read(model)

    def add(self, item: LabeledImage, label: str) -> None:
        """Count an image, if it has the name, the label and the size of a training image."""
        if len(self._hashes):
            value = _hash(item.name, label, item.image)
            place = int(np.searchsorted(self._hashes, value))
            self._count += place < len(self._hashes) and self._hashes[place] == value

    def warn(self, num_images: int) -> None:
        """Warn where at least a tenth of the `num_images` that were evaluated were counted.

        Fewer may be other images: those of one class may have the names and sizes of other files by chance.
        """
        if self._count and self._count >= _NOTEWORTHY_SHARE * num_images:
            text = f"{self._model} was trained on {self._count:,} of these {num_images:,} images"
            warnings.warn(f"{text}: its accuracy on them says little about others", LevitWarning, stacklevel=3)


def _read(model: Path) -> NDArray[np.uint64]:
    """The record of a run, given its directory, a checkpoint in it, or the weights of one; empty without a record."""
    for folder in (model, *model.absolute().parents[:2]):
        file = folder / TRAINING_IMAGES_FILE
        try:
            if file.is_file():
                hashes: NDArray[np.uint64] = np.load(file, allow_pickle=False)
                return hashes if hashes.dtype == np.uint64 and hashes.ndim == 1 else np.empty(0, np.uint64)
        except (OSError, ValueError, EOFError):  # the record is damaged
            break
    return np.empty(0, np.uint64)


def _hash(name: str, label: str, image: object) -> int:
    content = f"{PurePath(name).name}\0{label}\0{_size(image)}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _size(image: object) -> int:
    """Size of an image file in bytes; 0 of an image that is no file, or is missing."""
    if isinstance(image, bytes):
        return len(image)
    try:
        return Path(image).stat().st_size if isinstance(image, str | PathLike) else 0
    except OSError:
        return 0
