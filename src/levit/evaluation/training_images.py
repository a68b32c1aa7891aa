"""Training images of a run, recorded by their content, and a warning where a model is evaluated on them."""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import LabeledImage
from levit.data.subsets import evenly_spaced
from levit.errors import LevitWarning
from levit.files import replacing
from levit.runtime.classifier import Classifier
from levit.runtime.prediction import Prediction
from levit.spec.artifact import TrainingImages

TRAINING_IMAGES_FILE = "train_images.npy"
"""In a run directory: uint64 [images], sorted; for each training image a hash of a part of its content."""

_MAX_EXPORTED = 8192  # 87 kB of text, a hundredth of a small model
_BATCH_SIZE, _NUM_THREADS = 1024, 16  # reading waits for the disk
_PART_BYTES = 4096  # from the middle, because files of one camera or program start and end with the same bytes


def hash_contents(images: Iterable[object]) -> NDArray[np.uint64]:
    """Hash the content of images, of which 4 kB are read.

    Args:
        images: file, or its content, of each image.

    Returns:
        uint64 [images]; 0 for an image that is neither a file nor its content, or cannot be read.

    Examples:
        >>> first, copy, other = hash_contents([b"cat", b"cat", b"dog"])
        >>> bool(first == copy), bool(first == other)
        (True, False)
    """
    hashes, remaining = list[int](), iter(images)
    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="levit-hash") as pool:
        while batch := list(islice(remaining, _BATCH_SIZE)):
            hashes += [value or 0 for value in pool.map(_hash, batch)]
    return np.array(hashes, np.uint64)


def write_training_images(run: Path, hashes: NDArray[np.uint64], initial: Path | None = None) -> None:
    """Record the training images of a run.

    Args:
        run: the run directory.
        hashes: hash of each image, by `hash_contents`; those of 0 are left out.
        initial: path of the initial weights, whose training images are recorded, too, if they have a record.
    """
    hashes = hashes[hashes > 0]
    if initial is not None:
        hashes = np.concatenate([hashes, _read(initial)])
    with replacing(run / TRAINING_IMAGES_FILE) as partial, partial.open("wb") as stream:
        np.save(stream, np.unique(hashes))


def count_training_images(model: Path, hashes: NDArray[np.uint64]) -> int:
    """Number of images that a model was trained on; 0 where it has no record.

    Args:
        model: path of the model, as for `TrainingImageCounter`.
        hashes: hash of each image, by `hash_contents`.
    """
    return int(np.isin(hashes[hashes > 0], _read(model)).sum())


def sample_training_images(model: Path) -> TrainingImages | None:
    """At most 8,192 evenly spaced entries of the record of a model, for the metadata of an exported file.

    Args:
        model: path of the model, as for `TrainingImageCounter`.

    Returns:
        The entries; None where it has no record.
    """
    hashes = _read(model)
    if not len(hashes):
        return None
    chosen = hashes[evenly_spaced(len(hashes), _MAX_EXPORTED)]
    text = base64.b64encode(chosen.astype("<u8").tobytes()).decode("ascii")
    return TrainingImages(hashes=text, fraction=len(chosen) / len(hashes))


class TrainingImageCounter:
    """Counts the images of an evaluation that a model was trained on, under whatever name.

    Args:
        classifier: the model; a run directory, or a checkpoint in one, has the record of its images, and an exported
            file a part of it.
    """

    def __init__(self, classifier: Classifier) -> None:
        path, exported = classifier.path, classifier.artifact.training_images
        self._model, self._count = path or classifier.artifact.source.name, 0
        self._hashes, self._is_sample = np.empty(0, np.uint64) if path is None else _read(path), False
        if not len(self._hashes) and exported is not None:
            self._hashes, self._is_sample = _decode(exported), exported.fraction < 1

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
            count = f"at least {self._count:,}" if self._is_sample else f"{self._count:,}"
            text = f"{self._model} was trained on {count} of these {num_images:,} images"
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


def _decode(record: TrainingImages) -> NDArray[np.uint64]:
    """The hashes in the metadata of an exported file; empty if they are damaged."""
    with suppress(ValueError):
        hashes = np.frombuffer(base64.b64decode(record.hashes, validate=True), "<u8")
        return np.sort(hashes.astype(np.uint64))
    return np.empty(0, np.uint64)


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
