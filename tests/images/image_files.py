"""Builders of image files: encoded images, and PNG and TIFF files of any content."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    """Content of an image file; the options are those of Pillow's `save`."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(kind: bytes, body: bytes, *, checksum: int | None = None) -> bytes:
    """Chunk of a PNG file, by default with the right checksum."""
    end = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", end)


def png_file(width: int, height: int, *chunks: bytes, bit_depth: int = 8, color: int = 2) -> bytes:
    """A PNG file with any chunks between its header and its end; color 0 is gray, 2 is RGB."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bit_depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IEND", b"")


def gray_tiff(bits: int, pixels: bytes, *, white_is_zero: bool = False, width: int = 2) -> bytes:
    """A gray TIFF file of one row, little-endian."""
    tags = {256: width, 257: 1, 258: bits, 259: 1, 262: 0 if white_is_zero else 1, 277: 1, 278: 1, 279: len(pixels)}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4  # where the pixels start
    entries = b"".join(struct.pack("<HHLL", tag, 3, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + pixels
