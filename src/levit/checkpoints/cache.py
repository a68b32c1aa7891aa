"""Where folded checkpoints and compiled models are kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

# Set it to move the cache, or to an empty string to do without one.
VARIABLE = "LEVIT_CACHE"


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
    return folder if os.access(folder, os.W_OK) else None


def keep(content: bytes, file: Path) -> bool:
    """Write a cached file so that it is complete or absent; whether that worked.

    A cache that cannot be written, on a full disk say, slows the next start down and is no error.
    """
    partial: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as stream:
            partial = Path(stream.name)
            stream.write(content)
        partial.replace(file)
    except OSError:
        if partial is not None:
            partial.unlink(missing_ok=True)
        return False
    return True
