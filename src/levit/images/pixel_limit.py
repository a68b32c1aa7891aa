"""Limit on the number of pixels of an image, checked before it is decoded."""

from __future__ import annotations

import os
import struct

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from levit.errors import ImageError

MAX_PIXELS = 100_000_000
"""Default limit on the number of pixels of an image as it is decoded."""

_MAX_JPEG_FACTOR = 4  # a JPEG file may have this many times the limit of pixels: phones write 200 million
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF files
_START_OF_SCAN = b"\xff\xda"


def check_size(size: tuple[int, int], name: str, max_pixels: int | None) -> None:
    """Refuse an image without pixels, or with more than the limit.

    Args:
        size: width and height in pixels.
        name: name of the image for errors.
        max_pixels: the limit; None for no limit.

    Raises:
        ImageError: the image is refused.
    """
    pixels = size[0] * size[1]
    if not pixels:
        raise ImageError("the image has no pixels", source=name)
    if max_pixels is not None and pixels > max_pixels:
        raise ImageError(
            f"{pixels:,} pixels are more than the limit of {max_pixels:,}",
            source=name,
            hint="make it smaller, or raise `max_pixels`",
        )


def check_file(image: Image.Image, name: str, max_pixels: int, *, is_reducible: bool) -> None:
    """Refuse an opened image file with too many pixels.

    Args:
        image: the opened file.
        name: name of the image for errors.
        max_pixels: the limit.
        is_reducible: True if a JPEG file may be decoded at reduced size, and so have four times as many pixels.

    Raises:
        ImageError: the image is refused.
    """
    has_factor = is_reducible and is_decoded_by_rows(image)
    check_size(image.size, name, _MAX_JPEG_FACTOR * max_pixels if has_factor else max_pixels)
    tags = getattr(image, "tag_v2", {})
    width, length = tags.get(_TILE_WIDTH), tags.get(_TILE_LENGTH)
    if isinstance(width, int) and isinstance(length, int) and width and length:  # which may exceed those of the image
        check_size((width, length), name, max_pixels)


def is_decoded_by_rows(image: Image.Image) -> bool:
    """Return whether an opened file is a JPEG file that can be decoded at reduced size in little memory.

    The decoder holds all coefficients of a file whose first scan has not all colors, or not all bits (progressive).
    """
    stream = getattr(image, "fp", None)
    if not isinstance(image, JpegImageFile) or "progressive" in image.info or stream is None:
        return False
    position = stream.seek(0, os.SEEK_CUR)  # behind the header of the first scan
    header = _START_OF_SCAN + struct.pack(">HB", 6 + 2 * image.layers, image.layers)
    stream.seek(max(0, position - 8 - 2 * image.layers))
    try:
        return bool(stream.read(len(header)) == header)
    finally:
        stream.seek(position)
