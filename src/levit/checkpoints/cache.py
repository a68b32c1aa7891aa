"""Where downloads, folded checkpoints and compiled models are kept between runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import platformdirs

# Set it to move the cache, or to an empty string to do without one.
VARIABLE = "LEVIT_CACHE"

# Bytes that one kind of cached file may take.
LIMIT = 1_000_000_000


def cache_folder(name: str) -> Path | None:
    """A writable folder for one kind of cached file, or None where there is none or the user wants none."""
    root = os.environ.get(VARIABLE)
    if root == "":
        return None
    folder = (Path(root) if root else platformdirs.user_cache_path("levit", appauthor=False)) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    _prune(folder)
    return folder


def keep(content: bytes, file: Path) -> bool:
    """Write a cached file so that it is complete or absent; whether that worked.

    A cache that cannot be written, on a full disk say, slows the next start down and is no error.
    """
    partial = file.with_name(f".{uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(file)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        return False
    return True


def _prune(folder: Path) -> None:
    """Delete the oldest files where they take too much room; another process may be doing the same."""
    with suppress(OSError):
        found = [(entry.stat(), entry) for entry in folder.iterdir() if entry.is_file()]
        excess = sum(status.st_size for status, _ in found) - LIMIT
        for status, entry in sorted(found, key=lambda pair: pair[0].st_mtime):
            if excess <= 0:
                break
            entry.unlink(missing_ok=True)
            excess -= status.st_size
