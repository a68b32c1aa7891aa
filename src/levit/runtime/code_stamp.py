"""Stamp of the code that computed a cached file, which differs between versions of a clone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from stat import S_ISDIR

PACKAGE = Path(__file__).parents[1]
"""Folder of the package `levit`."""


@cache
def code_stamp(*paths: Path) -> str:
    """Stamp of files of code: a hash of their names, sizes and times of modification.

    The version of the package stays the same while a clone is updated, and a cache must not keep what a corrected
    mistake computed. Sizes and times are read in a tenth of the time of a hash of the contents. They are read once in a
    process, so that the stamp stays that of the code that is loaded, while another process updates the clone.

    Args:
        paths: files, and folders whose files count, but not those below them. One that does not exist is left out.

    Returns:
        32 hexadecimal digits.

    Examples:
        >>> code_stamp(PACKAGE / "spec") == code_stamp(PACKAGE / "deployment")
        False
    """
    files = sorted(entry for path in paths for entry in _files(path))
    return hashlib.sha256(repr(files).encode()).hexdigest()[:32]


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of a file, or of the files of a folder."""
    with suppress(OSError):
        status = path.stat()
        if not S_ISDIR(status.st_mode):
            yield path.name, status.st_size, status.st_mtime_ns
            return
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_file():
                    status = entry.stat()
                    yield entry.name, status.st_size, status.st_mtime_ns
