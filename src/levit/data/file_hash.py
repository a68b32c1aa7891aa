"""Hash of the files of a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from levit.checkpoints.hashing import hash_file


def hash_files(files: Sequence[Path]) -> str:
    """SHA-256 of a file, or of the concatenated SHA-256 of several files: 64 hexadecimal digits."""
    hashes = [hash_file(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
