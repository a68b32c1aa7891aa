"""Removal of metadata that Pillow cannot read from image files whose pixels are intact."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from os import PathLike
from pathlib import Path

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset((b"tRNS", b"eXIf"))  # ancillary chunks with the transparent color and the orientation
_TIFF_SIGNATURES = {b"II*\0": "<", b"MM\0*": ">"}
_TIFF_METADATA_TAGS = frozenset((700, 33723, 34377, 34665, 34853, 40965))  # XMP, IPTC, Photoshop, EXIF, GPS, ...
_UNUSED_TAG = 65535
_AVIF_EXIF_ITEM = re.compile(rb"(infe.{8})Exif", re.DOTALL)

_HEADER_SIZE = 12


def without_metadata(source: str | PathLike[str] | bytes) -> bytes | None:
    """Remove the metadata that can prevent Pillow from opening or loading a PNG, TIFF or AVIF file.

    Those are large or damaged texts and color profiles, and damaged EXIF metadata. JPEG and WebP files need no removal:
    Pillow opens them whatever their metadata contain.

    Args:
        source: path or content of a file.

    Returns:
        Content of a file with the same pixels, or None if the file is of another format, or without such metadata.

    Raises:
        OSError: the file cannot be read.
    """
    if not isinstance(source, bytes):
        with Path(source).open("rb") as stream:
            header = stream.read(_HEADER_SIZE)
            if _remover(header) is None:
                return None
            source = header + stream.read()
    remove = _remover(source)
    result = remove(source) if remove else None
    return None if result == source else result


def _remover(content: bytes) -> Callable[[bytes], bytes] | None:
    if content.startswith(_PNG_SIGNATURE):
        return _without_png_metadata
    if content[:4] in _TIFF_SIGNATURES:
        return _without_tiff_metadata
    return _without_avif_metadata if content[4:12] in (b"ftypavif", b"ftypavis") else None


def _without_png_metadata(content: bytes) -> bytes:
    """Drop ancillary chunks, except for an intact transparent color or orientation, before Pillow reads them."""
    kept, start = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while start + 8 <= len(content):
        length, kind = struct.unpack_from(">L4s", content, start)
        chunk = content[start : start + length + 12]
        is_critical = kind[:1].isupper()
        is_intact = len(chunk) == length + 12 and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if is_critical or (kind in _PNG_KEPT and is_intact):
            kept.append(chunk)
        start += length + 12
    return b"".join(kept)


def _without_tiff_metadata(content: bytes) -> bytes:
    """Give the tags of metadata in the first directory a number that Pillow does not know."""
    order = _TIFF_SIGNATURES[content[:4]]
    changed = bytearray(content)
    try:
        (offset,) = struct.unpack_from(f"{order}L", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, offset)
        for start in range(offset + 2, offset + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", content, start)[0] in _TIFF_METADATA_TAGS:
                struct.pack_into(f"{order}H", changed, start, _UNUSED_TAG)
    except struct.error:  # cut off
        pass
    return bytes(changed)


def _without_avif_metadata(content: bytes) -> bytes:
    """Give the EXIF item another type; the orientation of an AVIF file is outside of it."""
    return _AVIF_EXIF_ITEM.sub(rb"\1none", content)
