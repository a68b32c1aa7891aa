"""Hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path


def hash_file(file: Path) -> str:
    """SHA-256 of the content of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
