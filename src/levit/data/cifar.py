"""CIFAR-10 as its authors distribute it: the Python version (pickles) or the binary version."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.hashing import hash_file
from levit.data.labeled_images import LabeledImage
from levit.data.record_values import class_names, in_record, label_index, read_text
from levit.data.split_names import no_split_error
from levit.errors import DataError, first_line
from levit.files import check_regular_file

_SIDE, _IMAGE_BYTES = 32, 3 * 32 * 32
_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
_ALLOWED_GLOBALS = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} | {
    (f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")
}
_UNPACK_HINT = "unpack the archive again"


def is_cifar(folder: Path) -> bool:
    """Return whether a folder has the files of either version."""
    return (folder / "batches.meta").is_file() or (folder / "batches.meta.txt").is_file()


class Cifar10:
    """CIFAR-10 in memory; see `levit.data.labeled_images.LabeledDataset`. Images are uint8 arrays [32, 32, 3].

    Args:
        folder: folder of the unpacked archive.
        split: train or test; None for test.

    Raises:
        DataError: there is no such split, or a file is missing, damaged, or contains other objects than arrays and
            names.
    """

    is_multi_label = is_any_label_correct = is_grouped = False

    def __init__(self, folder: Path, split: str | None = None) -> None:
        split = split or "test"
        if split not in _BATCHES:
            raise no_split_error(folder, split, sorted(_BATCHES))
        self.name = f"{folder.name} {split}"
        suffix = "" if (folder / "batches.meta").is_file() else ".bin"
        self._files = [folder / f"{name}{suffix}" for name in _BATCHES[split]]
        missing = [file.name for file in self._files if not file.is_file()]
        if missing:
            raise DataError(f"{', '.join(missing)} is missing", source=folder, hint=_UNPACK_HINT)
        read_batch = _read_binary if suffix else _read_pickled
        batches = [read_batch(file) for file in self._files]
        self._pixels = np.concatenate([pixels for pixels, _ in batches])
        self._labels = np.concatenate([labels for _, labels in batches])
        self.classes = _read_binary_names(folder) if suffix else _read_pickled_names(folder)

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[LabeledImage]:
        for number, (pixels, label) in enumerate(zip(self._pixels, self._labels, strict=True)):
            image = pixels.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
            labels = (int(label),) if label >= 0 else ()
            yield LabeledImage(np.ascontiguousarray(image), labels, f"image {number}")

    def sha256(self) -> str:
        """Hash of the hashes of the files."""
        return hashlib.sha256("".join(hash_file(file) for file in self._files).encode()).hexdigest()


def _read_binary(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [images, 3072] and labels [images]."""
    content = np.frombuffer(file.read_bytes(), np.uint8)
    if not len(content) or len(content) % (_IMAGE_BYTES + 1):
        raise DataError("not a whole number of images", source=file, hint=_UNPACK_HINT)
    rows = content.reshape(-1, _IMAGE_BYTES + 1)
    return rows[:, 1:], rows[:, 0].astype(np.int64)


def _read_pickled(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [images, 3072] and labels [images]."""
    values = _unpickle(file)
    pixels, labels = values.get("data"), values.get("labels")
    labels = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_IMAGE_BYTES,):
        raise DataError("not a batch of CIFAR-10", source=file)
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError("not a batch of CIFAR-10", source=file)
    try:
        indices = [label_index(label) for label in labels]
    except DataError as error:
        raise in_record(error, file, "labels") from None
    return pixels, np.array([-1 if index is None else index for index in indices], np.int64)


def _read_binary_names(folder: Path) -> tuple[str, ...]:
    return tuple(read_text(folder / "batches.meta.txt").split())


def _read_pickled_names(folder: Path) -> tuple[str, ...]:
    file = folder / "batches.meta"
    names = _unpickle(file).get("label_names", ())
    try:
        return class_names([name.decode() if isinstance(name, bytes) else name for name in names])
    except (DataError, TypeError, UnicodeDecodeError) as error:
        raise DataError("its class names are not strings", source=file) from error


def _unpickle(file: Path) -> Mapping[str, Any]:
    """Read a pickled dictionary of arrays, numbers and strings; a pickle with any other global is refused."""
    check_regular_file(file, DataError)
    try:
        content = file.read_bytes()
        _check_memory(content)
        values = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in values.items()}
    except Exception as error:  # a damaged pickle raises errors of almost any type
        raise DataError(f"not a file of CIFAR-10 ({first_line(error)})", source=file) from error


def _check_memory(content: bytes) -> None:
    """Check that no number in a pickle makes the unpickler allocate more memory than its content needs."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(str(argument)) > len(content):
            raise pickle.UnpicklingError(f"memo index {argument}")


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it contains code: {module}.{name}")
        if name == "_reconstruct":
            return _empty_array
        return _ARRAY_TYPE if name == "ndarray" else super().find_class(module, name)


_ARRAY_TYPE = "ndarray"
"""Stands for `numpy.ndarray` in a pickle, where only `_reconstruct` may use it."""


def _empty_array(array_type: object, shape: object, dtype: object) -> NDArray[Any]:
    """Create the empty array that the unpickler fills, as numpy's `_reconstruct`, but of no other shape."""
    if array_type is not _ARRAY_TYPE:
        raise pickle.UnpicklingError("an array of another type")
    return np.ndarray((0,), np.dtype("b"))
