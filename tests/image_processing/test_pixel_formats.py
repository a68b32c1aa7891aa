"""Conversion of bit depth, channels and value range by the image processors."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from levit import ConfigError, LevitImageProcessor, LevitImageProcessorFast
from levit.images.decoding import read_image
from tests.image_processing.pixel_values import values
from tests.images.image_files import gray_tiff

OURS = [LevitImageProcessor, LevitImageProcessorFast]

RGB = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
GRAY = RGB[..., 0].copy()
RGBA = np.dstack([RGB, GRAY])
GRAY_16_BIT = GRAY.astype(np.uint16) * 257


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_an_image_with_as_many_channels_as_the_mean_is_not_converted(cls, channels):
    image = np.random.default_rng(1).integers(0, 256, (60, 80, channels), np.uint8)
    options = {"image_mean": [0.5] * channels, "image_std": [0.5] * channels}
    actual = values(cls, image, **options)
    assert actual.shape == (1, channels, 224, 224)
    # Pillow treats the last of four channels as opacity and weights the others by it; so does transformers.
    if (cls, channels) != (LevitImageProcessor, 4):
        each = [values(cls, image[..., channel], image_mean=[0.5], image_std=[0.5]) for channel in range(channels)]
        np.testing.assert_array_equal(actual, np.concatenate(each, axis=1))
    floats = values(cls, image * np.float32(0.999), **options)
    if (cls, channels) != (LevitImageProcessor, 4):
        np.testing.assert_allclose(floats, actual, atol=0.03)


@pytest.mark.parametrize("cls", OURS)
def test_pil_images_with_as_many_channels_as_the_mean_are_not_converted(cls):
    for image in (Image.fromarray(GRAY), Image.fromarray(RGBA)):
        channels = len(image.getbands())
        options = {"image_mean": [0.5] * channels, "image_std": [0.5] * channels}
        np.testing.assert_array_equal(values(cls, image, **options), values(cls, np.asarray(image), **options))
        with pytest.raises(ConfigError, match=f"^image_mean has length {channels}, but image 0 has 3 channels"):
            values(cls, image, do_convert_rgb=True, **options)
    lab = Image.fromarray(RGB).convert("YCbCr")
    np.testing.assert_array_equal(values(cls, lab), values(cls, lab.convert("RGB")))


@pytest.mark.parametrize("cls", OURS)
def test_without_conversion_values_are_kept(cls):
    raw = {"do_convert_rgb": False, "do_resize": False, "do_center_crop": False, "do_rescale": False}
    for image in (GRAY_16_BIT, GRAY > 99, GRAY, GRAY - np.float32(300), RGBA):
        actual = values(cls, image, do_normalize=False, **raw)[0]
        np.testing.assert_array_equal(actual.squeeze(), np.moveaxis(image, -1, 0) if image.ndim == 3 else image)
    palette = Image.fromarray(RGB).quantize(8)
    np.testing.assert_array_equal(values(cls, palette, do_normalize=False, **raw)[0, 0], np.asarray(palette))
    with pytest.raises(ConfigError, match=r"^image_mean has length 3, but image 0 has 1 channels"):
        cls(**raw)(GRAY)


def test_both_classes_resize_floats_of_any_range_equally():
    options = {"do_rescale": False, "do_normalize": False}
    for image in (RGB * np.float32(0.999), RGB - np.float32(100), RGB.astype(np.int32) * 9):
        slow, fast = (values(cls, image, **options) for cls in OURS)
        assert slow.dtype == fast.dtype == np.float32
        np.testing.assert_allclose(slow, fast, atol=1e-3 * np.abs(image).max())


@pytest.mark.parametrize("cls", OURS)
def test_a_small_rescale_factor_applies_to_16_bit_values(cls):
    actual = values(cls, GRAY_16_BIT, rescale_factor=1 / 65535, do_normalize=False)
    np.testing.assert_allclose(actual, values(cls, GRAY, do_normalize=False), atol=2.01 / 255)


@pytest.mark.parametrize("mode", ["I;16", "I"])
@pytest.mark.parametrize("cls", OURS)
def test_a_pil_image_of_16_bits_has_the_values_of_its_array(cls, mode):
    image = Image.fromarray(GRAY_16_BIT.astype(np.int32 if mode == "I" else np.uint16))
    np.testing.assert_array_equal(values(cls, image), values(cls, GRAY_16_BIT))
    options = {"rescale_factor": 1 / 65535, "do_normalize": False}
    np.testing.assert_allclose(values(cls, image, **options), values(cls, GRAY_16_BIT, **options), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (gray_tiff(12, b"\x00\x0f\xff"), [0, 255]),
        (gray_tiff(16, b"\0\0\xff\xff", white_is_zero=True), [255, 0]),
    ],
    ids=["12 bits", "16 bits, inverted"],
)
@pytest.mark.parametrize("cls", OURS)
def test_gray_tiff_files_of_any_depth_use_their_whole_range(cls, content, expected):
    raw = {"do_resize": False, "do_center_crop": False, "do_rescale": False, "do_normalize": False}
    with Image.open(io.BytesIO(content)) as image:
        for source in (content, image):
            assert values(cls, source, **raw)[0, 1, 0].tolist() == expected


@pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV"])
@pytest.mark.parametrize("cls", OURS)
def test_a_pil_image_of_any_mode_has_the_values_of_read_image(cls, mode):
    through = {"La": "LA", "RGBa": "RGBA"}.get(mode)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(Image.fromarray(RGB), *profiles, outputMode="LAB")
    else:
        image = Image.fromarray(RGBA)
        image = image.convert(through).convert(mode) if through else image.convert("RGB").convert(mode)
    np.testing.assert_array_equal(values(cls, image), values(cls, np.asarray(read_image(image))))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int16, torch.uint16, torch.int8])
@pytest.mark.parametrize("cls", OURS)
def test_tensors_of_every_dtype_are_accepted(cls, dtype):
    image = torch.from_numpy(RGB // 2).permute(2, 0, 1).to(dtype)
    actual = values(cls, image)
    assert actual.dtype == np.float32
    expected = RGB // 2 if dtype != torch.uint16 else np.zeros_like(RGB)
    np.testing.assert_allclose(actual, values(cls, expected), atol=2.01 / 255 / 0.224)


def test_transparent_arrays_are_blended_as_by_pillow():
    opacity, color = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    every = np.dstack([color, color, color, opacity])
    raw = {"do_resize": False, "do_center_crop": False, "do_rescale": False, "do_normalize": False}
    actual = values(LevitImageProcessor, every, data_format="channels_last", **raw)[0]
    np.testing.assert_array_equal(actual, np.asarray(read_image(every)))
    floats = values(LevitImageProcessor, every / np.float32(255), data_format="channels_last", **raw)[0]
    np.testing.assert_allclose(floats * 255, np.asarray(read_image(every)), atol=0.51)


@pytest.mark.parametrize("cls", OURS)
def test_dark_images_raise_no_warning(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = cls()([np.zeros((8, 9, 3), np.float32), RGB // 255])["pixel_values"]
    assert len(pixels) == 2
