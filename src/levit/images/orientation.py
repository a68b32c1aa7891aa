"""Orientation of photos: read from the metadata of a file, without any other part of them, and applied."""

from __future__ import annotations

import re
import struct

from PIL import ExifTags, Image

UPRIGHT = 1
"""The EXIF orientation of an image that is not turned."""

_OPERATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXCHANGES_SIDES = (5, 6, 7, 8)
_METADATA = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")  # that Pillow reads the orientation from

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_EXIF_PREFIX = re.compile(rb"^(?:Exif\0\0){0,2}")
_ENTRY_SIZE = 12  # bytes of an entry of a TIFF directory
_INTEGER_TYPES = {1: "B", 3: "H", 4: "L", 6: "b", 8: "h", 9: "l"}  # TIFF's number of a type -> its format


def read_orientation(image: Image.Image) -> int:
    """Read the EXIF orientation of an image file that Pillow opened; damaged metadata are ignored.

    Args:
        image: an opened file. Except for JPEG files it must be loaded, because metadata may follow the pixels.

    Returns:
        1 (upright) to 8; 1 for a TIFF file, which Pillow turns when it loads it.

    Examples:
        >>> with Image.open("examples/cat.jpg") as image:
        ...     read_orientation(image)
        1
    """
    if image.format == "TIFF":
        return UPRIGHT
    value = _parse_exif(_exif_bytes(image))
    if value is None:
        xmp = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or b""
        content = xmp if isinstance(xmp, bytes) else str(xmp).encode("utf-8", "replace")
        match = _XMP_ORIENTATION.search(content)
        value = int(match[1]) if match else UPRIGHT
    return value if value in _OPERATIONS else UPRIGHT


def current_orientation(image: Image.Image) -> int:
    """Orientation of a loaded PIL image, whose owner may have set or deleted it in the image's `getexif()`."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
        return value if value in _OPERATIONS else UPRIGHT
    except Exception:  # damaged metadata make Pillow raise errors of many types
        return read_orientation(image)


def exchanges_sides(orientation: int) -> bool:
    """Return whether applying an orientation exchanges height and width."""
    return orientation in _EXCHANGES_SIDES


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply an EXIF orientation to a loaded image.

    Returns:
        The same object if it is upright, otherwise a new image without the metadata that hold the orientation.
    """
    operation = _OPERATIONS.get(orientation)
    return image if operation is None else without_orientation(image.transpose(operation))


def without_orientation(image: Image.Image) -> Image.Image:
    """Delete the metadata that hold the orientation from an image in memory, and return it."""
    for key in _METADATA:
        image.info.pop(key, None)
    return image


def _exif_bytes(image: Image.Image) -> bytes:
    exif = image.info.get("exif")
    if exif is None and "Raw profile type exif" in image.info:  # written by ImageMagick: three lines, then hexadecimal
        try:
            return bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:]))
        except (ValueError, AttributeError):
            return b""
    return exif if isinstance(exif, bytes) else b""


def _parse_exif(exif: bytes) -> int | None:
    """Read the orientation from the first directory of EXIF metadata, a TIFF file without pixels."""
    content = _EXIF_PREFIX.sub(b"", exif)
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None:
        return None
    found = None
    try:
        (offset,) = struct.unpack_from(f"{order}L", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, offset)
        for start in range(offset + 2, offset + 2 + count * _ENTRY_SIZE, _ENTRY_SIZE):
            tag, kind, length = struct.unpack_from(f"{order}HHL", content, start)
            if tag == ExifTags.Base.Orientation and length == 1 and kind in _INTEGER_TYPES:
                (found,) = struct.unpack_from(order + _INTEGER_TYPES[kind], content, start + 8)
    except struct.error:  # cut off
        pass
    return found
