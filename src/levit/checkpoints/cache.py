"""Cache folders for downloads, folded checkpoints and compiled models, and files that are verified by their hash."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import platformdirs

from levit.checkpoints.hashing import hash_file
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
        The folder, or None if it can be neither created nor read, or the user disabled the cache. One that cannot be
        written is read only: it may have been filled by another user, or in the image of a container.
    """
    root = os.environ.get(CACHE_VARIABLE)
    if root == "":
        return None
    folder = (Path(root) if root else platformdirs.user_cache_path("levit", appauthor=False)) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.R_OK | os.X_OK):
        return None
    if is_writable(folder):
        _prune(folder, max_bytes)
    return folder


def is_writable(folder: Path) -> bool:
    """Return whether files can be created in a folder, which is created with them if it does not exist."""
    with suppress(OSError):  # a folder above it cannot be searched
        existing = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return False


def write_cached(content: bytes, file: Path) -> bool:
    """Write a cached file atomically, in a folder that is created if it does not exist.

    Returns:
        Whether it was written. A cache that cannot be written, because the disk is full for instance, only slows down
        the next start, and is not an error.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(file, content)
    except OSError:
        return False
    return True


def mark_as_used(file: Path) -> None:
    """Make a cached file the newest one, because the oldest ones are deleted; a file of another user stays as it is."""
    with suppress(OSError):
        os.utime(file)


def find_verified(folder: Path, key: str, suffix: str) -> Path | None:
    """Find the undamaged file of a key, and mark it as used.

    Args:
        folder: folder of a cache, which need not exist.
        key: hash of what determines the content.
        suffix: suffix of the file, with its dot.

    Returns:
        The file; None if there is none, or if it cannot be read or does not fit the hash in its name.
    """
    for file in folder.glob(f"{key}-*{suffix}"):
        with suppress(OSError):  # another process may delete it
            if file.is_file() and file.name == f"{key}-{hash_file(file)}{suffix}":
                mark_as_used(file)
                return file
    return None


def write_verified(folder: Path, key: str, suffix: str, content: bytes) -> Path | None:
    """Write the file of a key, with the hash of its content in its name.

    Args:
        folder: as for `find_verified`.
        key: as for `find_verified`.
        suffix: as for `find_verified`.
        content: content of the file.

    Returns:
        The file; None if it cannot be written, which is not an error.
    """
    file = folder / f"{key}-{hashlib.sha256(content).hexdigest()}{suffix}"
    return file if write_cached(content, file) else None


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
