"""Metadata that Pillow cannot read do not make an intact image damaged, and damaged pixels stay damaged."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from levit.errors import ImageError
from levit.images.decoding import read_image
from levit.images.metadata_removal import without_metadata
from tests.images.image_files import encoded, png_chunk

Image.init()
HAS_AVIF = "AVIF" in Image.SAVE
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
IMAGE = Image.fromarray(PIXELS)
TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"  # by 180 degrees


def png_with(*chunks: bytes, at_end: bool = False) -> bytes:
    """A PNG file with additional chunks after the header or before the end."""
    content = encoded(IMAGE, "PNG")
    position = len(content) - 12 if at_end else 33
    return content[:position] + b"".join(chunks) + content[position:]


LARGE_TEXT = zlib.compress(bytes(2_000_000))
PNG_METADATA = {
    "two megabytes of compressed text": png_chunk(b"zTXt", b"Comment\0\0" + LARGE_TEXT),
    "two megabytes of international text": png_chunk(b"iTXt", b"Comment\0\1\0\0\0" + LARGE_TEXT),
    "seventy megabytes of text": b"".join(png_chunk(b"tEXt", b"Comment\0" + b"x" * 1_000_000) for _ in range(70)),
    "an unknown compression of text": png_chunk(b"zTXt", b"Comment\0\7" + LARGE_TEXT),
    "a wrong checksum of a text": png_chunk(b"tEXt", b"Comment\0text", checksum=1),
    "a wrong checksum of the orientation": png_chunk(b"eXIf", TURNED[6:].replace(b"\1\0\3", b"\1\0\1"), checksum=1),
    "a resolution that is cut off": png_chunk(b"pHYs", b"\0\0"),
    "a gamma that is cut off": png_chunk(b"gAMA", b"\0"),
}


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("case", PNG_METADATA)
def test_a_png_file_is_read_whatever_its_metadata_contain(case, at_end, tmp_path):
    content = png_with(PNG_METADATA[case], at_end=at_end)
    (tmp_path / "image.png").write_bytes(content)
    for source in (content, tmp_path / "image.png"):
        np.testing.assert_array_equal(np.asarray(read_image(source)), PIXELS)


def test_the_orientation_and_the_transparent_color_beside_unreadable_text_are_used():
    text, orientation = PNG_METADATA["two megabytes of compressed text"], png_chunk(b"eXIf", TURNED[6:])
    np.testing.assert_array_equal(np.asarray(read_image(png_with(text, orientation))), PIXELS[::-1, ::-1])
    color = png_chunk(b"tRNS", struct.pack(">3H", *PIXELS[0, 0]))
    assert np.asarray(read_image(png_with(text, color)))[0, 0].tolist() == [255, 255, 255]


def test_text_of_usual_size_is_kept():
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "a camera")
    content = encoded(IMAGE, "PNG", pnginfo=text)
    np.testing.assert_array_equal(np.asarray(read_image(content)), PIXELS)


@pytest.mark.skipif(not HAS_AVIF, reason="this Pillow has no AVIF")
def test_an_avif_file_is_read_whatever_its_metadata_contain():
    exif = Image.Exif()
    exif[271] = "maker"
    content = encoded(IMAGE, "AVIF", quality=100, subsampling="4:4:4", exif=exif)
    damaged = content.replace(b"MM\0*", b"XX\0*")
    assert damaged != content
    with pytest.raises((ValueError, UnidentifiedImageError)), Image.open(io.BytesIO(damaged)) as image:
        image.load()
    assert np.abs(np.asarray(read_image(damaged)).astype(int) - PIXELS).mean() < 3


def test_a_tiff_file_is_read_whatever_its_metadata_contain():
    content = encoded(IMAGE, "TIFF", tiffinfo={700: b"<x:xmpmeta/>"})
    as_bytes, as_numbers = (struct.pack("<HHL", 700, kind, count) for kind, count in ((1, 12), (3, 6)))
    damaged = content.replace(as_bytes, as_numbers)
    assert damaged != content
    np.testing.assert_array_equal(np.asarray(read_image(damaged)), PIXELS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP", *(["AVIF"] if HAS_AVIF else [])])
def test_damaged_pixels_stay_an_error(kind):
    content = encoded(IMAGE, kind)
    with pytest.raises(ImageError):
        read_image(content[: len(content) // 2])


def test_damaged_pixels_beside_damaged_metadata_are_reported_with_the_first_error():
    content = png_with(PNG_METADATA["two megabytes of compressed text"])
    with pytest.raises(ImageError, match=r"Decompressed data too large|not an image"):
        read_image(content[:-800])


def test_files_of_other_formats_and_files_without_metadata_are_not_changed():
    assert without_metadata(encoded(IMAGE, "JPEG", exif=TURNED)) is None
    assert without_metadata(encoded(IMAGE, "WEBP")) is None
    assert without_metadata(encoded(IMAGE, "PNG")) is None
    assert not HAS_AVIF or without_metadata(encoded(IMAGE, "AVIF")) is None
    assert without_metadata(b"") is None
    assert without_metadata(b"II*\0") is None
