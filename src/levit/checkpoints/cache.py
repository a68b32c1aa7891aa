"""Cache folders for downloads, folded checkpoints and compiled models."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from levit.files import write_bytes

# Environment variable that moves the cache; an empty value disables it.
CACHE_VARIABLE = "LEVIT_CACHE"

MAX_FOLDER_BYTES = 1_000_000_000


def cache_folder(name: str, *, max_bytes: int = MAX_FOLDER_BYTES) -> Path | None:
    """Create the folder for one kind of cached file, and delete its oldest files above a total size.

    Args:
        name: kind of file.
        max_bytes: total size in bytes.

    Returns:
        A writable folder, or None if there is none or the user disabled the cache.
    """
    root = os.environ.get(CACHE_VARIABLE)
    if root == "":
        return None
    folder = (Path(root) if root else platformdirs.user_cache_path("levit", appauthor=False)) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    _prune(folder, max_bytes)
    return folder


def write_cached(content: bytes, file: Path) -> bool:
    """Write a cached file atomically.

    Returns:
        Whether it was written. A cache that cannot be written, because the disk is full for instance, only slows down
        the next start, and is not an error.
    """
    try:
        write_bytes(file, content)
    except OSError:
        return False
    return True


def _prune(folder: Path, max_bytes: int) -> None:
    """Delete the oldest files above the total size; another process may do the same at the same time."""
    with suppress(OSError):
        files = [(entry.stat(), entry) for entry in folder.rglob("*") if entry.is_file()]
        excess = sum(status.st_size for status, _ in files) - max_bytes
        for status, entry in sorted(files, key=lambda pair: pair[0].st_mtime):
            if excess <= 0:
                break
            entry.unlink(missing_ok=True)
            excess -= status.st_size
