"""Which files are images."""

from __future__ import annotations

IMAGE_SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tga .tif .tiff .webp".split()  # noqa: SIM905
)
