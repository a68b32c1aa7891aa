"""Names of folders that every system accepts."""

from __future__ import annotations

import re

_MAX_BYTES = 255  # of a name on the file systems of Linux
_INVALID = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_RESERVED = re.compile(r"\A(con|prn|aux|nul|com\d|lpt\d)(\..*)?\Z", re.IGNORECASE | re.DOTALL)  # devices of Windows


def is_folder_name(name: str) -> bool:
    """Return whether every system accepts a name of a folder.

    Examples:
        >>> is_folder_name("cat"), is_folder_name("AC/DC"), is_folder_name("con"), is_folder_name("cat.")
        (True, False, False, False)
    """
    return (
        0 < len(name.encode(errors="surrogatepass")) <= _MAX_BYTES
        and name == name.strip().rstrip(".")
        and name.isprintable()
        and _INVALID.search(name) is None
        and _RESERVED.match(name) is None
    )


def as_folder_name(name: str) -> str:
    """The name of a folder that every system accepts, if it is not too long, as similar to a name as possible.

    Examples:
        >>> as_folder_name("AC/DC"), as_folder_name("con"), as_folder_name("..")
        ('AC_DC', 'con_', '_')
    """
    return _RESERVED.sub(r"\1_\2", _INVALID.sub("_", name).strip(" .")) or "_"
