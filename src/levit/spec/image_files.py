"""Recognition of image files, and of folders of operating systems and editors, by name."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec

_FORMATS = "avif bmp dib gif j2k jfif jp2 jpe jpeg jpg mpo pbm pgm png pnm ppm tga tif tiff webp"

IMAGE_SUFFIXES = frozenset(f".{name}" for name in _FORMATS.split())
"""Suffixes of the formats that Pillow reads."""

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Suffixes of the formats that Pillow reads with the package `pillow-heif`."""

PILLOW_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "WEBP", "TIFF", "DIB", "JPEG2000", "TGA", "AVIF")
"""Pillow's names of the former, frequent ones first (MPO files are JPEG files).

Files of its other formats are refused, whatever their names: Pillow runs a program for some, such as EPS, and decodes
others, such as ICO and ICNS, before their size is known.
"""

_SYSTEM_FOLDERS = frozenset(
    {"$recycle.bin", "__macosx", "__pycache__", "lost+found", "system volume information"}
    | {"#recycle", "#snapshot", "@eadir", "@recently-snapshot", "@recycle"}  # of file servers (Synology, QNAP)
)


def is_image(file: str) -> bool:
    """Return whether a file name has the suffix of a readable format, and is not hidden, as metadata of macOS (`._…`).

    Examples:
        >>> is_image("photos/1.JPG"), is_image("photos/notes.txt"), is_image("__MACOSX/photos/._1.JPG")
        (True, False, False)
    """
    return is_image_suffix(os.path.splitext(file)[1]) and not os.path.basename(file).startswith(".")  # noqa: PTH119, PTH122 (a Path for each file is slow)


def is_image_suffix(suffix: str) -> bool:
    """Return whether a suffix such as `.jpg` is that of a format that can be read here.

    Examples:
        >>> is_image_suffix(".JPG"), is_image_suffix(".txt")
        (True, False)
    """
    suffix = suffix.lower()
    return suffix in IMAGE_SUFFIXES or (suffix in HEIF_SUFFIXES and has_heif())


def is_system_folder(name: str) -> bool:
    """Return whether a folder is hidden, or written by an operating system or a program beside the user's files.

    Examples:
        >>> is_system_folder(".ipynb_checkpoints"), is_system_folder("@eaDir"), is_system_folder("cat")
        (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _SYSTEM_FOLDERS


@cache
def has_heif() -> bool:
    """Return whether `pillow-heif` is installed."""
    return find_spec("pillow_heif") is not None
