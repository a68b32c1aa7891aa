"""Thumbnails as data URLs, which an HTML page contains without another file."""

from __future__ import annotations

import base64
import io

from PIL import Image

from levit.images.decoding import MAX_PIXELS, ImageSource, read_reduced_image

SIDE = 160
"""Default largest width and height in pixels."""


def thumbnail_url(source: ImageSource, side: int = SIDE, *, max_pixels: int = MAX_PIXELS) -> str:
    """Image of at most `side` pixels in width and height, as the data URL of a JPEG file.

    Args:
        source: as for `levit.images.decoding.read_image`.
        side: largest width and height in pixels; a smaller image keeps its size.
        max_pixels: as for `levit.images.decoding.read_reduced_image`.

    Raises:
        ImageError: the image cannot be decoded.

    Examples:
        >>> thumbnail_url("examples/cat.jpg")[:23]
        'data:image/jpeg;base64,'
    """
    image, _ = read_reduced_image(source, 2 * side, max_pixels=max_pixels)
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail((side, side))
    return data_url(image, "JPEG")


def data_url(image: Image.Image, kind: str) -> str:
    """Content of an image file of the format `kind`, "JPEG" or "PNG", as a data URL."""
    stream = io.BytesIO()
    image.save(stream, kind, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
