"""Every mode and sample format that Pillow opens becomes 8-bit RGB with the right values."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from levit.errors import ImageError
from levit.images.decoding import read_image, to_rgb
from levit.images.pixel_modes import convert_to_rgb
from tests.images.image_files import encoded, gray_tiff, png_chunk, png_file

WHITE = (255, 255, 255)


def first_pixel(source) -> tuple[int, ...]:
    return read_image(source).getpixel((0, 0))


# The first pixel of an image of each mode, and its value in RGB.
MODES = {
    "1": (255, WHITE),
    "L": (100, (100, 100, 100)),
    "LA": ((0, 51), (204, 204, 204)),
    "RGB": ((10, 20, 30), (10, 20, 30)),
    "RGBA": ((10, 20, 30, 51), (206, 208, 210)),
    "RGBX": ((10, 20, 30, 0), (10, 20, 30)),  # the fourth channel has no meaning
    "CMYK": ((255, 0, 0, 0), (0, 255, 255)),
    "YCbCr": ((76, 85, 255), (254, 0, 0)),
    "HSV": ((85, 255, 255), (0, 255, 0)),
    "LAB": ((255, 128, 128), WHITE),
    "I": (100, (100, 100, 100)),
    "I;16": (25700, (100, 100, 100)),
    "I;16L": (25700, (100, 100, 100)),
    "I;16B": (25700, (100, 100, 100)),
    "I;16N": (25700, (100, 100, 100)),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_has_the_right_value(mode):
    value, expected = MODES[mode]
    image = Image.new(mode, (3, 2), value)
    assert np.abs(np.subtract(first_pixel(image), expected)).max() <= 1
    assert to_rgb(image).getpixel((0, 0)) == first_pixel(image)
    assert image.mode == mode


def test_premultiplied_modes_equal_those_that_they_are_made_from():
    for value, mode, premultiplied in (((200, 128), "LA", "La"), ((200, 100, 50, 128), "RGBA", "RGBa")):
        image = Image.new(mode, (1, 1), value)
        difference = np.subtract(first_pixel(image.convert(premultiplied)), first_pixel(image))
        assert np.abs(difference).max() <= 1


def test_lab_images_have_the_colors_that_they_are_made_from():
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(Image.fromarray(rgb), *profiles, outputMode="LAB")
    expected = np.asarray(ImageCms.profileToProfile(lab, *profiles[::-1], outputMode="RGB")).astype(int)
    for source in (lab, encoded(lab, "TIFF")):
        pixels = np.asarray(read_image(source)).astype(int)
        np.testing.assert_array_equal(pixels, expected)
        assert np.abs(pixels - rgb).mean() < 2


@pytest.mark.parametrize("mode", ["P", "PA"])
def test_palettes_with_and_without_opacity(mode):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 0, 0, 0])
    assert first_pixel(image.convert(mode)) == (10, 20, 30)
    image.putpalette([10, 20, 30, 255, 0, 0, 0, 51], "RGBA")
    image.putpixel((1, 0), 1)
    assert np.asarray(read_image(image))[0].tolist() == [[10, 20, 30], [204, 204, 204]]


@pytest.mark.parametrize(("low", "high"), [(-1, 255), (0, 65536), (-32768, 32767), (0, 2**31 - 1)])
def test_thirty_two_bit_values_without_a_known_range_are_refused(low, high):
    image = Image.fromarray(np.array([[low, high]], np.int32))
    with pytest.raises(ImageError, match=rf"^<Image 1x2>: values from {low} to {high} have no known range: convert it"):
        read_image(image)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bits_are_scaled_exactly_in_little_memory(dtype):
    values = np.arange(2**16).astype(dtype)
    expected = np.rint(np.minimum(values / (65535 / 255), 255))
    image = convert_to_rgb(Image.fromarray(values.reshape(256, 256)), "photo")
    np.testing.assert_array_equal(np.asarray(image)[..., 0].ravel(), expected)
    large = Image.fromarray(np.zeros((2000, 2000), dtype))
    tracemalloc.start()
    try:
        convert_to_rgb(large, "photo")
        assert tracemalloc.get_traced_memory()[1] < 2000 * 2000 * (2 * values.itemsize + 4)
    finally:
        tracemalloc.stop()


def test_a_dark_pgm_file_of_16_bits_is_dark():
    content = b"P5 2 1 65535\n" + struct.pack(">HH", 0, 255)
    assert np.asarray(read_image(content))[0, :, 0].tolist() == [0, 1]
    assert first_pixel(b"P5 1 1 4095\n" + struct.pack(">H", 4095)) == WHITE


def png(bit_depth: int, color: int, pixels: bytes, transparency: bytes, width: int = 2) -> bytes:
    """A PNG file of one row, with a transparent color."""
    chunks = png_chunk(b"tRNS", transparency), png_chunk(b"IDAT", zlib.compress(b"\0" + pixels))
    return png_file(width, 1, *chunks, bit_depth=bit_depth, color=color)


GRAY, RGB = 0, 2
TRANSPARENT = {
    "1 bit": (png(1, GRAY, b"\x00", struct.pack(">H", 0)), [255, 255]),
    "1 bit, the other": (png(1, GRAY, b"\x40", struct.pack(">H", 1)), [0, 255]),
    "2 bits": (png(2, GRAY, b"\x10", struct.pack(">H", 1)), [0, 255]),
    "4 bits": (png(4, GRAY, b"\x37", struct.pack(">H", 7)), [51, 255]),
    "8 bits": (png(8, GRAY, b"\x33\x07", struct.pack(">H", 7)), [51, 255]),
    "16 bits": (png(16, GRAY, struct.pack(">HH", 257, 512), struct.pack(">H", 512)), [1, 255]),
    "16 bits, nearly equal": (png(16, GRAY, struct.pack(">HH", 511, 512), struct.pack(">H", 512)), [2, 255]),
    "RGB": (png(8, RGB, bytes([9, 9, 9, 7, 7, 7]), struct.pack(">HHH", 7, 7, 7)), [9, 255]),
    "RGB of 16 bits": (
        png(16, RGB, struct.pack(">6H", *[2313] * 3, *[512] * 3), struct.pack(">3H", *[512] * 3)),
        [9, 255],
    ),
    "RGB of 16 bits, nearly equal": (
        png(16, RGB, struct.pack(">6H", *[513] * 3, *[512] * 3), struct.pack(">3H", *[512] * 3)),
        [2, 255],
    ),
}


@pytest.mark.parametrize("case", TRANSPARENT)
def test_the_transparent_color_of_a_png_file_is_in_its_own_units(case):
    content, expected = TRANSPARENT[case]
    assert np.asarray(read_image(content))[0, :, 0].tolist() == expected
    with Image.open(io.BytesIO(content)) as image:
        assert np.asarray(read_image(image))[0, :, 0].tolist() == expected


GRAY_TIFF = {
    "16 bits": (gray_tiff(16, struct.pack("<HH", 0, 65535)), [0, 255]),
    "16 bits, inverted": (gray_tiff(16, struct.pack("<HH", 0, 25700), white_is_zero=True), [255, 155]),
    "12 bits": (gray_tiff(12, b"\x00\x0f\xff"), [0, 255]),
    "8 bits, inverted": (gray_tiff(8, b"\x00\x64", white_is_zero=True), [255, 155]),
    "4 bits": (gray_tiff(4, b"\x0f"), [0, 255]),
    "1 bit, inverted": (gray_tiff(1, b"\x40", white_is_zero=True), [255, 0]),
}


@pytest.mark.parametrize("case", GRAY_TIFF)
def test_gray_tiff_files_of_every_depth_use_their_whole_range(case):
    content, expected = GRAY_TIFF[case]
    assert np.asarray(read_image(content))[0, :, 0].tolist() == expected
    with Image.open(io.BytesIO(content)) as image:
        assert np.asarray(read_image(image))[0, :, 0].tolist() == expected


FORMATS = {
    "BMP": ["1", "L", "P", "RGB"],
    "GIF": ["1", "L", "P"],
    "JPEG": ["L", "RGB", "CMYK", "YCbCr"],
    "JPEG2000": ["L", "LA", "RGB", "RGBA", "YCbCr", "I;16"],
    "PNG": ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"],
    "PPM": ["1", "L", "RGB", "I;16"],
    "TGA": ["1", "L", "LA", "P", "RGB", "RGBA"],
    "TIFF": ["1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "LAB", "I;16"],
    "WEBP": ["L", "RGB", "RGBA"],
    "AVIF": ["L", "RGB", "RGBA"],
}
LOSSY = {"JPEG", "WEBP", "AVIF", "JPEG2000"}


Image.init()
FILES = [(kind, mode) for kind, modes in FORMATS.items() if kind in Image.SAVE for mode in modes]


@pytest.mark.parametrize(("kind", "mode"), FILES)
def test_a_file_of_any_format_and_mode_equals_the_image_that_was_saved(kind, mode):
    gradient = Image.linear_gradient("L").resize((64, 64))
    image = Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180)))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(gradient).astype(np.uint16) * 257)
    elif mode == "LAB":
        image = ImageCms.profileToProfile(
            image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
        )
    elif mode in ("RGBA", "LA"):
        image = image.convert(mode)
        image.putalpha(gradient.rotate(270))
    else:
        image = image.convert(mode)
    expected = np.asarray(read_image(image)).astype(int)
    actual = np.asarray(read_image(encoded(image, kind)).resize((64, 64))).astype(int)
    assert np.abs(actual - expected).mean() < (5 if kind in LOSSY else 0.01)
