"""The limit of pixels applies to what is decoded, whatever size a file states."""

import struct
import zlib

import pytest
from PIL import Image

from levit.errors import ImageError
from levit.images.decoding import read_image, read_reduced_image
from tests.images.image_files import encoded

SIDE = 256
LIMIT = SIDE * SIDE // 4
REFUSED = r"65,536 pixels are more than the limit of 16,384: make it smaller, or raise `max_pixels`$"


def segments(content: bytes) -> dict[int, bytes]:
    """Segments of a JPEG file by their markers, without the markers; the scan is the part behind its header."""
    found, start = {}, 2
    while start < len(content):
        marker, size = struct.unpack_from(">xBH", content, start)
        found[marker] = found.get(marker, b"") + content[start : start + 2 + size]
        start += 2 + size
        if marker == 0xDA:
            found[0] = content[start:-2]
            break
    return found


def jpeg_of_three_scans() -> bytes:
    """A JPEG file that is not progressive, with one scan for each color."""
    gray = segments(encoded(Image.new("L", (SIDE, SIDE), 99), "JPEG"))
    frame = struct.pack(">BHHB", 8, SIDE, SIDE, 3) + b"".join(bytes([index, 0x11, 0]) for index in (1, 2, 3))
    scans = [b"\xff\xda" + struct.pack(">HBBB", 8, 1, index, 0) + b"\0\x3f\0" + gray[0] for index in (1, 2, 3)]
    header = b"\xff\xc0" + struct.pack(">H", 2 + len(frame)) + frame
    return b"\xff\xd8" + gray[0xDB] + header + gray[0xC4] + b"".join(scans) + b"\xff\xd9"


def test_a_jpeg_file_with_one_scan_for_each_color_has_the_limit_itself():
    content = jpeg_of_three_scans()
    assert read_image(content, max_pixels=SIDE * SIDE).size == (SIDE, SIDE)
    with pytest.raises(ImageError, match=REFUSED):
        read_reduced_image(content, 64, max_pixels=LIMIT)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_file_with_one_scan_may_have_four_times_the_limit(mode):
    content = encoded(Image.new(mode, (SIDE, SIDE)), "JPEG")
    assert read_reduced_image(content, 64, max_pixels=LIMIT)[1] == (SIDE, SIDE)
    with pytest.raises(ImageError, match="more than the limit of 65,532"):
        read_reduced_image(content, 64, max_pixels=LIMIT - 1)


def test_an_icon_is_refused_before_pillow_decodes_it():
    icon = encoded(Image.new("RGB", (SIDE, SIDE)), "ICO")
    with pytest.raises(ImageError, match=r"a Windows icon, which is not read: convert it to PNG$"):
        read_image(icon)


def tiled_tiff(side: int) -> bytes:
    """A compressed TIFF file of 10x10 pixels in one tile."""
    pixels = zlib.compress(bytes(side * side))
    tags = [(256, 10), (257, 10), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, side), (323, side), (324, 134), (325, len(pixels))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0) + pixels


def test_a_tile_that_is_larger_than_its_image_counts():
    assert read_image(tiled_tiff(16)).size == (10, 10)
    with pytest.raises(ImageError, match=REFUSED):
        read_image(tiled_tiff(SIDE), max_pixels=LIMIT)
