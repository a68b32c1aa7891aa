"""Refusal of paths that are not regular files, whose reading could wait forever or never end."""

from __future__ import annotations

import stat
from pathlib import Path

from levit.errors import CheckpointError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular_file(file: Path) -> None:
    """Check that a path is a regular file, or a link to one, without opening it.

    Args:
        file: path that should be a file.

    Raises:
        CheckpointError: it does not exist, cannot be examined, or is of another kind.
    """
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a NUL character
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(f"cannot be read ({reason})", source=file) from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "of an unknown kind")
        raise CheckpointError(f"{kind}, not a regular file", source=file, hint="give a file")
