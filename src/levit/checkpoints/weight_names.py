"""Names of weight files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from levit.errors import first_few

SAFETENSORS_FILE = "model.safetensors"
PICKLE_SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".pth.tar")  # of files that torch writes
WEIGHT_FILES = (SAFETENSORS_FILE, "pytorch_model.bin")  # in order of preference


def is_pickle(path: Path) -> bool:
    """Return whether a file has the suffix of a file that torch writes."""
    return path.name.endswith(PICKLE_SUFFIXES)


def is_weight_file(name: str) -> bool:
    """Return whether a file contains weights, by its suffix."""
    return name.endswith((".safetensors", ".msgpack")) or is_pickle(Path(name))


def list_some(names: Sequence[str]) -> str:
    """Content of a folder for an error message: the first names."""
    return f"only {first_few(names, 5)}" if names else "which is empty"
