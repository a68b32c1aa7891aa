"""Image files have the same values as the same image opened with Pillow: modes that the options keep are kept."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from levit import ImageError, LevitImageProcessor, LevitImageProcessorFast
from levit.images import decoding
from levit.images.decoding import read_image, read_image_file
from tests.conftest import GOLDEN
from tests.image_processing.pixel_values import values
from tests.images.image_files import encoded, png_chunk

OURS = [LevitImageProcessor, LevitImageProcessorFast]
NAMES = ("1bit.png", "cmyk.jpg", "exif6.jpg", "gray16.png", "la.png", "palette.png", "rgba.png")
RGBA = np.random.default_rng(0).integers(0, 256, (40, 60, 4), np.uint8)
GRAY = RGBA[..., 0].copy()
DEEP_GRAY = np.random.default_rng(1).integers(0, 65536, (40, 60), np.uint16)

DEEP = {"rescale_factor": 1 / 65535}
ONE_CHANNEL = {"image_mean": [0.5], "image_std": [0.5]}
TWO_CHANNELS = {"image_mean": [0.4, 0.5], "image_std": [0.5, 0.6]}
FOUR_CHANNELS = {"image_mean": [0.3, 0.4, 0.5, 0.6], "image_std": [0.5] * 4}
UNCHANGED = {"do_convert_rgb": False, "image_mean": 0.5, "image_std": 0.5}

# Image, format of its file, options.
CASES = {
    "16-bit gray": (Image.fromarray(DEEP_GRAY), "PNG", DEEP),
    "16-bit gray of big-endian TIFF": (Image.fromarray(DEEP_GRAY.astype(">u2")), "TIFF", DEEP),
    "16-bit gray of PGM": (Image.fromarray(DEEP_GRAY), "PPM", DEEP),
    "16-bit gray of one channel": (Image.fromarray(DEEP_GRAY), "PNG", ONE_CHANNEL),
    "gray": (Image.fromarray(GRAY), "PNG", ONE_CHANNEL),
    "gray and opacity": (Image.fromarray(RGBA).convert("LA"), "PNG", TWO_CHANNELS),
    "RGBA": (Image.fromarray(RGBA), "PNG", FOUR_CHANNELS),
    "CMYK": (Image.fromarray(RGBA[..., :3]).convert("CMYK"), "TIFF", FOUR_CHANNELS),
    "RGBA without conversion": (Image.fromarray(RGBA), "PNG", UNCHANGED),
    "palette without conversion": (Image.fromarray(GRAY).quantize(9), "PNG", UNCHANGED),
    "1-bit without conversion": (Image.fromarray(GRAY > 99), "PNG", UNCHANGED),
    "floating point": (Image.fromarray(GRAY.astype(np.float32)), "TIFF", {}),
}


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("case", CASES)
def test_a_file_has_the_values_of_its_pil_image(cls, case, tmp_path):
    image, kind, options = CASES[case]
    content = encoded(image, kind)
    (tmp_path / "image").write_bytes(content)
    with Image.open(io.BytesIO(content)) as opened:
        expected = values(cls, opened, **options)
    text = base64.b64encode(content).decode()
    for source in (str(tmp_path / "image"), tmp_path / "image", content, text, f"data:image/png;base64,{text}"):
        np.testing.assert_array_equal(values(cls, source, **options), expected)


@pytest.mark.parametrize("cls", OURS)
def test_a_16_bit_gray_file_has_the_values_of_its_array(cls):
    array = np.dstack([DEEP_GRAY] * 3)
    np.testing.assert_array_equal(values(cls, encoded(Image.fromarray(DEEP_GRAY)), **DEEP), values(cls, array, **DEEP))


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "RGBA"])
@pytest.mark.parametrize("orientation", [2, 6])
def test_a_file_that_keeps_its_mode_is_turned_upright(cls, mode, orientation):
    image = Image.fromarray(DEEP_GRAY) if mode == "I;16" else Image.fromarray(RGBA).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turn = {2: Image.Transpose.FLIP_LEFT_RIGHT, 6: Image.Transpose.ROTATE_270}[orientation]
    actual = values(cls, encoded(image, exif=exif), **UNCHANGED, **DEEP)
    np.testing.assert_array_equal(actual, values(cls, image.transpose(turn), **UNCHANGED, **DEEP))


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("name", NAMES)
def test_with_the_default_options_a_file_has_the_values_of_its_rgb_image(cls, name):
    file = GOLDEN / "preprocess" / "images" / f"edge_{name}"
    for options in ({}, {"do_convert_rgb": True}):
        np.testing.assert_array_equal(values(cls, file, **options), values(cls, read_image(file), **options))


@pytest.mark.parametrize("options", [{}, UNCHANGED, DEEP])
def test_the_errors_of_files_do_not_depend_on_the_options(options, tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 2_000_000)
    (tmp_path / "half.png").write_bytes(encoded(Image.fromarray(DEEP_GRAY))[:2000])
    (tmp_path / "large.png").write_bytes(encoded(Image.new("1", (2000, 1500))))
    cases = {
        "half.png": "damaged or incomplete",
        "large.png": "3,000,000 pixels are more than the limit of 2,000,000",
        "none.png": "no such file",
        "": "a folder, not an image",
    }
    for name, reason in cases.items():
        with pytest.raises(ImageError, match=f"^image 0: {tmp_path / name}: {reason}"):
            LevitImageProcessor(**options)(tmp_path / name)
    content = (tmp_path / "half.png").read_bytes()
    with pytest.raises(ImageError, match=r"^image 0: <2000 bytes>: damaged or incomplete"):
        LevitImageProcessor(**options)(content)


def test_a_file_whose_metadata_pillow_refuses_keeps_its_mode():
    content = encoded(Image.fromarray(GRAY))
    text = zlib.compress(bytes(2_000_000))  # Pillow reads at most one megabyte
    damaged = content[:33] + png_chunk(b"zTXt", b"Comment\0\0" + text) + content[33:]
    expected = values(LevitImageProcessor, GRAY, **ONE_CHANNEL)
    np.testing.assert_array_equal(values(LevitImageProcessor, damaged, **ONE_CHANNEL), expected)


def test_an_image_file_is_converted_to_rgb_unless_it_keeps_its_mode():
    content = encoded(Image.fromarray(RGBA))
    assert read_image_file(content, lambda image: True).mode == "RGBA"
    assert read_image_file(content, lambda image: image.mode == "L").tobytes() == read_image(content).tobytes()
    with pytest.raises(ImageError, match=r"^here: not an image"):
        read_image_file(b"abc", lambda image: True, name="here")
    with pytest.raises(ImageError, match="URLs are not downloaded"):
        read_image_file("s3://bucket/cat.jpg", lambda image: True)
