"""CIFAR-10 as its authors distribute it: the version for Python, or the binary one."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.checkpoints.weight_files import hash_file
from levit.data.labeled_images import LabeledImage, NoSplitError
from levit.errors import DataError

_SIDE, _PIXELS = 32, 3 * 32 * 32
_BATCHES = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
_ARRAYS = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} | {
    (f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")
}


def is_cifar(folder: Path) -> bool:
    """Whether a folder is that of either version."""
    return (folder / "batches.meta").is_file() or (folder / "batches.meta.txt").is_file()


class Cifar10:
    """The images of one split, as arrays; test where none is asked for.

    Raises:
        DataError: a file is missing, damaged, or holds more than arrays and names.
    """

    is_multi_label = is_any_label_correct = is_grouped = False

    def __init__(self, folder: Path, split: str | None = None) -> None:
        split = split or "test"
        if split not in _BATCHES:
            raise NoSplitError(f"{folder}: no split {split!r} (there: test, train)")
        self.name = f"{folder.name} {split}"
        ending = "" if (folder / "batches.meta").is_file() else ".bin"
        self._files = [folder / f"{name}{ending}" for name in _BATCHES[split]]
        missing = [file.name for file in self._files if not file.is_file()]
        if missing:
            raise DataError(f"{folder}: {', '.join(missing)} is missing: unpack the archive again")
        read = _read_binary if ending else _read_pickled
        batches = [read(file) for file in self._files]
        self._pixels = np.concatenate([pixels for pixels, _ in batches])
        self._labels = np.concatenate([labels for _, labels in batches])
        self.classes = _binary_names(folder) if ending else _pickled_names(folder)

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[LabeledImage]:
        for number, (pixels, label) in enumerate(zip(self._pixels, self._labels, strict=True)):
            image = pixels.reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
            yield LabeledImage(np.ascontiguousarray(image), (int(label),), f"image {number}")

    def sha256(self) -> str:
        """Of the hashes of the files."""
        return hashlib.sha256("".join(hash_file(file) for file in self._files).encode()).hexdigest()


def _read_binary(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    content = np.frombuffer(file.read_bytes(), np.uint8)
    if not len(content) or len(content) % (_PIXELS + 1):
        raise DataError(f"{file}: not a whole number of images: unpack the archive again")
    rows = content.reshape(-1, _PIXELS + 1)
    return rows[:, 1:], rows[:, 0].astype(np.int64)


def _read_pickled(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    values = _unpickle(file)
    pixels, labels = values.get("data"), values.get("labels")
    if not isinstance(pixels, np.ndarray) or pixels.shape[1:] != (_PIXELS,) or len(pixels) != len(labels or ()):
        raise DataError(f"{file}: not a batch of CIFAR-10")
    return pixels.astype(np.uint8, copy=False), np.asarray(labels, np.int64)


def _binary_names(folder: Path) -> tuple[str, ...]:
    return tuple((folder / "batches.meta.txt").read_text(encoding="ascii").split())


def _pickled_names(folder: Path) -> tuple[str, ...]:
    names = _unpickle(folder / "batches.meta").get("label_names", ())
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def _unpickle(file: Path) -> Mapping[str, Any]:
    """A dictionary of arrays, numbers and names; whatever else a pickle could make is refused."""
    try:
        values = _ArrayUnpickler(io.BytesIO(file.read_bytes()), encoding="bytes").load()
        return {key.decode() if isinstance(key, bytes) else str(key): value for key, value in values.items()}
    except Exception as error:  # a damaged pickle raises almost anything
        raise DataError(f"{file}: not a file of CIFAR-10 ({' '.join(str(error).split())})") from error


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"it holds code: {module}.{name}")
        return super().find_class(module, name)
