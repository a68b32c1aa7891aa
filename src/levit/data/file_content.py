"""Reading and hashing of the files of a data set."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from levit.checkpoints.hashing import hash_file


def read_content(file: str | PathLike[str]) -> bytes:
    """Read a regular file; a pipe or device, which could wait forever, is an `OSError`."""
    if not stat.S_ISREG(os.stat(file).st_mode):  # noqa: PTH116 (a Path for each image is slow)
        raise OSError(errno.EINVAL, "not a regular file", str(file))
    with open(file, "rb") as stream:  # noqa: PTH123
        return stream.read()


def hash_files(files: Sequence[Path]) -> str:
    """SHA-256 of a file, or of the concatenated SHA-256 of several files: 64 hexadecimal digits."""
    hashes = [hash_file(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
