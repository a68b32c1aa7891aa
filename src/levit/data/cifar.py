"""CIFAR-10 and CIFAR-100 as their authors distribute them: the Python version (pickles) or the binary version."""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.hashing import hash_file
from levit.data.labeled_images import LabeledImage
from levit.data.record_values import class_names, in_record, label_index, read_text
from levit.data.split_names import choose_split
from levit.errors import DataError, first_line
from levit.files import check_regular_file

_SIDE, _IMAGE_BYTES = 32, 3 * 32 * 32
_ALLOWED_GLOBALS = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} | {
    (f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")
}
_UNPACK_HINT = "unpack the archive again"


class _Version(NamedTuple):
    """Files of a version.

    Attributes:
        names: file of the class names.
        batches: files of the images, by split.
        labels: field of the labels in a pickle; empty for the binary version.
        label_bytes: bytes before each image in the binary version, of which the last one is the label.
    """

    names: str
    batches: Mapping[str, Sequence[str]]
    labels: str = ""
    label_bytes: int = 0


_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
_BINARY_BATCHES = {split: [f"{name}.bin" for name in names] for split, names in _BATCHES.items()}
_VERSIONS = (
    _Version("batches.meta", _BATCHES, labels="labels"),
    _Version("batches.meta.txt", _BINARY_BATCHES, label_bytes=1),
    _Version("meta", {"train": ["train"], "test": ["test"]}, labels="fine_labels"),
    _Version("fine_label_names.txt", {"train": ["train.bin"], "test": ["test.bin"]}, label_bytes=2),
)


def is_cifar(folder: Path) -> bool:
    """Return whether a folder has files of one of the versions."""
    return _find_version(folder) is not None


class Cifar:
    """CIFAR-10 or CIFAR-100 in memory; see `levit.data.labeled_images.LabeledDataset`.

    Images are uint8 arrays [32, 32, 3]. The classes of CIFAR-100 are the 100 fine ones.

    Args:
        folder: folder of the unpacked archive.
        split: as for `find_split_name`, of train and test.

    Raises:
        DataError: there is no such split, or a file is missing, damaged, or contains other objects than arrays and
            names.
    """

    is_multi_label = is_any_label_correct = False

    def __init__(self, folder: Path, split: str | None = None) -> None:
        version = _find_version(folder)
        if version is None:
            raise DataError("no files of CIFAR-10 or CIFAR-100", source=folder)
        split = choose_split(folder, version.batches, split)
        self.name = f"{folder.name} {split}"
        self._files = [folder / name for name in version.batches[split]]
        missing = [file.name for file in self._files if not file.is_file()]
        if missing:
            raise DataError(f"{', '.join(missing)} is missing", source=folder, hint=_UNPACK_HINT)
        batches = [_read_batch(file, version) for file in self._files]
        self._pixels = np.concatenate([pixels for pixels, _ in batches])
        self._labels = np.concatenate([labels for _, labels in batches])
        self.classes = _read_names(folder / version.names, version)

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


def _find_version(folder: Path) -> _Version | None:
    for version in _VERSIONS:
        files = (folder / name for names in version.batches.values() for name in names)
        if (folder / version.names).is_file() and any(file.is_file() for file in files):
            return version
    return None


def _read_batch(file: Path, version: _Version) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels [images, 3072] and labels [images]."""
    return _read_pickled(file, version.labels) if version.labels else _read_binary(file, version.label_bytes)


def _read_binary(file: Path, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = np.frombuffer(file.read_bytes(), np.uint8)
    row_bytes = label_bytes + _IMAGE_BYTES
    if not len(content) or len(content) % row_bytes:
        raise DataError("not a whole number of images", source=file, hint=_UNPACK_HINT)
    rows = content.reshape(-1, row_bytes)
    return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)


def _read_pickled(file: Path, field: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    values = _unpickle(file)
    pixels, labels = values.get("data"), values.get(field)
    labels = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_IMAGE_BYTES,):
        raise DataError("not a batch of CIFAR", source=file)
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise DataError("not a batch of CIFAR", source=file)
    try:
        indices = [label_index(label) for label in labels]
    except DataError as error:
        raise in_record(error, file, field) from None
    return pixels, np.array([-1 if index is None else index for index in indices], np.int64)


def _read_names(file: Path, version: _Version) -> tuple[str, ...]:
    if not version.labels:
        return tuple(read_text(file).split())
    names = _unpickle(file).get(f"{version.labels.removesuffix('s')}_names", ())
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
        raise DataError(f"not a file of CIFAR ({first_line(error)})", source=file) from error


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
