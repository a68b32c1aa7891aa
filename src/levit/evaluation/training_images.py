"""Training images of a run, recorded by their content, and a warning where a model is evaluated on them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import LabeledImage
from levit.errors import LevitWarning
from levit.files import replacing
from levit.runtime.prediction import Prediction

TRAINING_IMAGES_FILE = "train_images.npy"
"""In a run directory: uint64 [images], sorted; for each training image a hash of a part of its content."""

_BATCH_SIZE, _NUM_THREADS = 1024, 16  # reading waits for the disk
_PART_BYTES = 4096  # from the middle, because files of one camera or program start and end with the same bytes


def write_training_images(run: Path, images: Iterable[object], initial: Path | None = None) -> None:
    """Record the training images of a run.

    4 kB of each file are read, and 8 bytes are recorded. Images that are neither files nor their content are left out.

    Args:
        run: the run directory.
        images: file, or its content, of each image.
        initial: path of the initial weights, whose training images are recorded, too, if they have a record.
    """
    hashes = _hash_all(images)
    if initial is not None:
        hashes = np.concatenate([hashes, _read(initial)])
    with replacing(run / TRAINING_IMAGES_FILE) as partial, partial.open("wb") as stream:
        np.save(stream, np.unique(hashes))


def count_training_images(model: Path, images: Iterable[object]) -> int:
    """Number of images that a model was trained on; 0 where it has no record.

    Args:
        model: path of the model, as for `TrainingImageCounter`.
        images: file, or its content, of each image; not read without a record.
    """
    recorded = _read(model)
    return int(np.isin(_hash_all(images), recorded).sum()) if len(recorded) else 0


class TrainingImageCounter:
    """Counts the images of an evaluation that a model was trained on, under whatever name.

    Args:
        model: path of the model; a run directory, or a checkpoint in one, has the record of its images.
    """

    def __init__(self, model: Path | None) -> None:
        self._model, self._count = model, 0
        self._hashes = np.empty(0, np.uint64) if model is None else _read(model)

    def add(self, image: object) -> None:
        """Count an image, a file or its content, if it has the content of a training image."""
        if len(self._hashes) and (value := _hash(image)) is not None:
            place = int(np.searchsorted(self._hashes, np.uint64(value)))
            self._count += place < len(self._hashes) and self._hashes[place] == value

    def count(self, item: LabeledImage, _prediction: Prediction, _target: int) -> None:
        """Count the image of a prediction as `add` does: an `on_prediction` callback of `evaluate`."""
        self.add(item.image)

    def watch(self, pairs: Iterable[tuple[LabeledImage, Prediction]]) -> Iterator[tuple[LabeledImage, Prediction]]:
        """Yield images with their predictions, count each as `add` does, and warn after the last one."""
        num_images = 0
        for num_images, (item, prediction) in enumerate(pairs, start=1):  # noqa: B007
            self.add(item.image)
            yield item, prediction
        self.warn(num_images)

    def warn(self, num_images: int) -> None:
        """Warn if any of the `num_images` that were evaluated was counted."""
        if self._count:
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


def _hash_all(images: Iterable[object]) -> NDArray[np.uint64]:
    """Hashes of those images that have one."""
    hashes, remaining = list[int](), iter(images)
    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="levit-hash") as pool:
        while batch := list(islice(remaining, _BATCH_SIZE)):
            hashes += [value for value in pool.map(_hash, batch) if value is not None]
    return np.array(hashes, np.uint64)


def _hash(image: object) -> int | None:
    """Hash of the size and the middle of an image file; None of an image that is not a file, or cannot be read."""
    if isinstance(image, bytes | memoryview):
        size, part = len(image), image[_start(len(image)) :][:_PART_BYTES]
    elif isinstance(image, str | PathLike):
        try:
            size, part = _read_part(Path(image))
        except OSError:
            return None
    else:
        return None
    digest = hashlib.blake2b(part, digest_size=8, salt=size.to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little")


def _read_part(file: Path) -> tuple[int, bytes]:
    """Size of a regular file, and bytes from its middle."""
    if not file.is_file():  # opening a pipe could wait forever
        raise OSError
    with file.open("rb", buffering=0) as stream:
        size = stream.seek(0, 2)
        stream.seek(_start(size))
        return size, stream.read(_PART_BYTES)


def _start(size: int) -> int:
    return max(0, size - _PART_BYTES) // 2
