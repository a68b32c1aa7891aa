"""The orientation is read from damaged metadata too, and applied once in every format."""

import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from levit.images.decoding import read_image, read_reduced_image, to_rgb
from levit.images.orientation import read_orientation
from levit.images.transform import read_and_preprocess
from levit.spec.preprocessing import Preprocessing

ORIENTATION = 0x0112
DEFAULT = Preprocessing.for_image_size((64, 64))

# Four corners of different colors, with areas large enough for lossy formats.
UPRIGHT = np.zeros((32, 48, 3), np.uint8)
UPRIGHT[:16, :24], UPRIGHT[:16, 24:], UPRIGHT[16:, :24] = (250, 20, 20), (20, 250, 20), (20, 20, 250)

# What turns the upright picture into the stored one.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: UPRIGHT.transpose(1, 0, 2)[::-1],
    7: UPRIGHT.transpose(1, 0, 2)[::-1, ::-1],
    8: UPRIGHT.transpose(1, 0, 2)[:, ::-1],
}
FORMATS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "MPO": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    "TIFF": {},
    "TIFF compressed": {"compression": "tiff_lzw"},
}


Image.init()
for kind in [kind for kind in FORMATS if kind.split()[0] not in Image.SAVE]:  # AVIF is not part of every Pillow
    del FORMATS[kind]


def encoded(orientation: int, kind: str, exif: bytes | None = None) -> bytes:
    """A file of the picture, stored turned."""
    image, stream = Image.fromarray(STORED[orientation]), io.BytesIO()
    metadata = Image.Exif()
    metadata[ORIENTATION] = orientation
    options = dict(FORMATS[kind])
    if kind.startswith("TIFF"):
        options["tiffinfo"] = {ORIENTATION: orientation}
    else:
        options["exif"] = metadata.tobytes() if exif is None else exif
    if kind == "MPO":
        options |= {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}
    image.save(stream, kind.split()[0], **options)
    return stream.getvalue()


def assert_upright(image: Image.Image) -> None:
    assert (image.mode, image.size) == ("RGB", (48, 32))
    assert np.abs(np.asarray(image).astype(int) - UPRIGHT).mean() < 3


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", STORED)
def test_every_orientation_is_applied_once_in_every_format(kind, orientation):
    content = encoded(orientation, kind)
    assert_upright(read_image(content))
    image, full_size = read_reduced_image(content, 8)
    assert full_size == (32, 48)
    assert abs(image.width / image.height - 48 / 32) < 0.1


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", STORED)
def test_a_pil_image_of_any_format_is_upright_whether_or_not_it_is_loaded(kind, orientation):
    with Image.open(io.BytesIO(encoded(orientation, kind))) as image:
        first = read_image(image)
        assert_upright(first)
        assert_upright(read_image(image))
        assert_upright(read_image(first))


@pytest.mark.parametrize("size", [(200, 300), (120, 1200), (1200, 120)])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_fast_and_exact_preprocessing_turn_tiff_files_equally(size, orientation):
    image, stream = Image.linear_gradient("L").resize(size).convert("RGB"), io.BytesIO()
    image.save(stream, "TIFF", tiffinfo={ORIENTATION: orientation})
    fast, exact = (read_and_preprocess(stream.getvalue(), DEFAULT, exact=exact) for exact in (False, True))
    assert np.abs(fast.astype(int) - exact).mean() < 0.05


def test_the_orientation_that_the_owner_of_an_image_sets_is_applied():
    image = Image.fromarray(STORED[6])
    image.getexif()[ORIENTATION] = 6
    assert_upright(read_image(image))
    with Image.open(io.BytesIO(encoded(1, "JPEG", exif=b""))) as opened:
        opened.getexif()[ORIENTATION] = 3
        assert np.asarray(read_image(opened))[-1, -1].argmax() == 0  # the red corner


def test_the_orientation_that_the_owner_of_an_image_deletes_is_not_applied():
    with Image.open(io.BytesIO(encoded(6, "JPEG"))) as image:
        del image.getexif()[ORIENTATION]
        assert read_image(image).size == (32, 48)
        assert read_image(read_image(image)).size == (32, 48)


def test_an_image_that_is_converted_and_not_turned_keeps_its_orientation_unread():
    with Image.open(io.BytesIO(encoded(6, "JPEG"))) as image:
        assert to_rgb(image).size == (32, 48)


def directory(*entries: bytes) -> bytes:
    """EXIF metadata with one directory of big-endian entries."""
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)


TURNED = struct.pack(">HHLHH", ORIENTATION, 3, 1, 6, 0)
NEGATIVE_RATIONAL = struct.pack(">HHLL", 0x011A, 10, 1, 8)
TEXT_AS_NUMBER = struct.pack(">HHLL", 0x011A, 2, 3, 0x41420000)
GOOD_ORIENTATION = {
    "a negative rational": directory(NEGATIVE_RATIONAL, TURNED),
    "a text in place of a number": directory(TEXT_AS_NUMBER, TURNED),
    "the prefix twice": b"Exif\0\0" + directory(TURNED),
    "little-endian": b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHLHH", ORIENTATION, 3, 1, 6, 0) + bytes(4),
    "a wrong magic number": directory(TURNED).replace(b"MM\0*", b"MM\0\0"),
    "cut off after the orientation": directory(TURNED, NEGATIVE_RATIONAL)[:-12],
    "a long integer": directory(struct.pack(">HHLL", ORIENTATION, 4, 1, 6)),
}
NO_ORIENTATION = {
    "eight zeros": b"Exif\0\0" + bytes(8),
    "no TIFF header": b"Exif\0\0not valid",
    "an offset beyond the end": b"Exif\0\0MM\0*\xff\xff\xff\xff",
    "an invalid orientation": directory(struct.pack(">HHLHH", ORIENTATION, 3, 1, 9, 0)),
    "orientation 0": directory(struct.pack(">HHLHH", ORIENTATION, 3, 1, 0, 0)),
    "an orientation as text": directory(struct.pack(">HHLL", ORIENTATION, 2, 2, 0x36000000)),
    "empty": b"Exif\0\0",
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("case", GOOD_ORIENTATION)
def test_a_valid_orientation_beside_damaged_metadata_is_applied(kind, case):
    content = encoded(6, kind, GOOD_ORIENTATION[case])
    assert_upright(read_image(content))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("case", NO_ORIENTATION)
def test_metadata_without_a_valid_orientation_are_ignored(kind, case):
    content = encoded(1, kind, NO_ORIENTATION[case])
    assert_upright(read_image(content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the metadata
        with Image.open(io.BytesIO(content)) as image:
            assert_upright(read_image(image))
            assert_upright(read_image(image))


def test_the_orientation_in_xmp_metadata_is_applied():
    stream = io.BytesIO()
    Image.fromarray(STORED[8]).save(stream, "WEBP", lossless=True, xmp=b'<rdf:Description tiff:Orientation="8"/>')
    assert_upright(read_image(stream.getvalue()))


@settings(max_examples=200)
@given(st.binary(max_size=8), st.integers(0, 60))
def test_mutated_metadata_give_the_orientation_that_pillow_reads_or_never_an_error(noise, position):
    metadata = Image.Exif()
    metadata[ORIENTATION], metadata[271], metadata[282] = 6, "maker", 72.0
    mutated = bytearray(metadata.tobytes()[6:])
    mutated[position : position + len(noise)] = noise
    image = Image.new("RGB", (4, 4))
    image.info["exif"] = b"Exif\0\0" + bytes(mutated)
    actual = read_orientation(image)
    try:
        expected = image.getexif().get(ORIENTATION)
    except Exception:
        expected = None
    if isinstance(expected, int) and 1 <= expected <= 8:
        assert actual == expected
    assert 1 <= actual <= 8
