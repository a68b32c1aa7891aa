"""Recognition of image files by name."""

from __future__ import annotations

import os

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tga .tif .tiff .webp".split()  # noqa: SIM905
)


def is_image(file: str) -> bool:
    """Return whether a file name has the suffix of an image format, and is not a metadata file of macOS (`._…`).

    Examples:
        >>> is_image("photos/1.JPG"), is_image("photos/notes.txt"), is_image("__MACOSX/photos/._1.JPG")
        (True, False, False)
    """
    return os.path.splitext(file)[1].lower() in IMAGE_SUFFIXES and not os.path.basename(file).startswith("._")  # noqa: PTH119, PTH122 (a Path for each file is slow)
