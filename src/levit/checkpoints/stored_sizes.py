"""Sizes of what a PyTorch file contains, checked before anything is unpacked or copied."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from levit.errors import CheckpointError

# Weights hardly compress, and few weights share their numbers: larger ratios are those of a file that would fill the
# memory.
_MAX_RATIO = 4
_ALLOWANCE = 1 << 20  # bytes, for small files


def check_archive_sizes(file: Path, archive: zipfile.ZipFile) -> None:
    """Check that the entries of an archive are not much larger than the file, by its directory.

    Args:
        file: source of the error.
        archive: the opened file.

    Raises:
        CheckpointError: the entries are much larger.
    """
    stored, unpacked = file.stat().st_size, sum(entry.file_size for entry in archive.infolist())
    if unpacked > _MAX_RATIO * stored + _ALLOWANCE:
        raise CheckpointError(
            f"{_megabytes(stored)} that would unpack to {_megabytes(unpacked)}, which are not the weights of a network",
            source=file,
        )


def check_tensor_sizes(tensors: Mapping[str, Any], file: Path) -> None:
    """Check that tensors do not have many more numbers than are stored for them.

    A view that repeats its numbers, with a stride of 0 for instance, and a tensor that is given by its shape alone, are
    small in a file and large in memory.

    Args:
        tensors: key -> tensor of torch; other values are ignored.
        file: source of the error.

    Raises:
        CheckpointError: the tensors are much larger; the reason names the largest one.
    """
    sizes: dict[str, int] = {}
    storages: dict[int, int] = {}
    for key, tensor in tensors.items():
        is_strided = str(getattr(tensor, "layout", None)) == "torch.strided"
        if is_strided and tensor.device.type == "cpu" and not tensor.is_nested:  # a nested tensor has several shapes
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            sizes[key] = prod(tensor.shape) * tensor.element_size()
    stored = min(sum(storages.values()), file.stat().st_size)
    if sum(sizes.values()) > _MAX_RATIO * stored + _ALLOWANCE:
        key = max(sizes, key=lambda key: sizes[key])
        raise CheckpointError(
            f"{key} is {list(tensors[key].shape)}, {_megabytes(sizes[key])}, but all weights in the file have "
            f"{_megabytes(stored)}",
            source=file,
            hint="save contiguous copies of the weights",
        )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
