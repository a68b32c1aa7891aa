"""Inputs that the image processors accept and refuse, with every input of the references' errors.json."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.levit.image_processing_levit import LevitImageProcessor as StockFast
from transformers.models.levit.image_processing_pil_levit import LevitImageProcessorPil as StockPil

from levit import ConfigError, ImageError, LevitImageProcessor, LevitImageProcessorFast, LevitWarning
from levit.images.decoding import read_image
from tests.conftest import EXAMPLES, ROOT
from tests.image_processing.pixel_values import values
from tests.images.image_files import encoded

OURS = [LevitImageProcessor, LevitImageProcessorFast]
PHOTO = EXAMPLES / "cat.jpg"

RGB = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
GRAY = RGB[..., 0].copy()
GRAY_AS_RGB = GRAY[..., None].repeat(3, axis=2)
UNSCALED = {"do_rescale": False, "do_normalize": False}
RGBA = np.dstack([RGB, GRAY])
ON_WHITE = np.asarray(read_image(RGBA))
LA_ON_WHITE = np.asarray(read_image(Image.fromarray(RGBA).convert("LA")))
GRAY_16_BIT = GRAY.astype(np.uint16) * 257
PNG = encoded(Image.fromarray(RGB))


def truncated() -> Image.Image:
    return Image.open(io.BytesIO(PHOTO.read_bytes()[:5000]))


# Entry of errors.json -> input. The results are bit-identical to the references.
SAME_AS_REFERENCE = {
    "pil_RGB": Image.fromarray(RGB),
    "pil_1x1": Image.fromarray(RGB[:1, :1]),
    "numpy_HWC_uint8": RGB,
    "numpy_CHW_uint8": RGB.transpose(2, 0, 1),
    "numpy_NHWC_uint8": np.stack([RGB, RGB[::-1]]),
    "torch_CHW_uint8": torch.from_numpy(RGB).permute(2, 0, 1),
    "torch_NCHW_uint8": torch.from_numpy(np.stack([RGB, RGB[::-1]])).permute(0, 3, 1, 2),
    "list_of_mixed_sizes": [RGB, RGB[:50], RGB[:, :30]],
}

# Entry -> input, and the RGB image to which it is converted. The references fail or compute other values.
CONVERTED = {
    "pil_L": (Image.fromarray(GRAY), GRAY_AS_RGB),
    "pil_LA": (Image.fromarray(RGBA).convert("LA"), LA_ON_WHITE),
    "pil_RGBA": (Image.fromarray(RGBA), ON_WHITE),
    "pil_P": (Image.fromarray(RGB).quantize(64), np.asarray(Image.fromarray(RGB).quantize(64).convert("RGB"))),
    "pil_1": (Image.fromarray(GRAY > 99), (GRAY_AS_RGB > 99) * np.uint8(255)),
    "pil_CMYK": (Image.fromarray(RGB).convert("CMYK"), RGB),
    "pil_I16": (Image.fromarray(GRAY_16_BIT), GRAY_AS_RGB),
    "pil_I32": (Image.fromarray(GRAY_16_BIT.astype(np.int32)), GRAY_AS_RGB),
    "numpy_HW_uint8": (GRAY, GRAY_AS_RGB),
    "numpy_HWC4_uint8": (RGBA, ON_WHITE),
    "numpy_bool_HWC": (RGB > 99, (RGB > 99) * np.uint8(255)),
    "numpy_int64_HWC": (RGB.astype(np.int64), RGB),
    "numpy_uint16_HWC": (RGB.astype(np.uint16) * 257, RGB),
    "bytes": (PNG, RGB),
}

# Entry -> input, and the equal uint8 image. LevitImageProcessorFast resizes floats in floating point.
FLOATS = {
    "pil_F": (Image.fromarray(GRAY.astype(np.float32)), GRAY_AS_RGB),
    "numpy_HWC_float255": (RGB.astype(np.float32), RGB),
}
SCALED = {
    "numpy_HWC_float01": (RGB / 255).astype(np.float32),
    "torch_CHW_float01": torch.from_numpy(RGB / 255).permute(2, 0, 1),
}

# Entry -> input, the RGB image as which it is interpreted, and the channel position in the warning.
AMBIGUOUS = {
    "numpy_1xWx3_uint8 (channel position ambiguous)": (RGB[:1], RGB[:1], "last"),
    "numpy_3xWx3_uint8 (channel position ambiguous)": (RGB[:3], RGB[:3].transpose(1, 2, 0), "first"),
}

# Entry -> input, and the error message.
REFUSED = {
    "pil_truncated_file": (truncated(), "<JpegImageFile .*>: damaged or incomplete"),
    "pil_zero_size": (Image.new("RGB", (0, 5)), "<Image 5x0>: the image has no pixels"),
    "numpy_HWC5_uint8": (
        np.zeros((8, 9, 5), np.uint8),
        r"neither the first nor the last axis of the shape \[8, 9, 5\]",
    ),
    "numpy_1d": (GRAY[0], r"the shape \[80\] is not that of an image"),
    "numpy_float_nan": (np.full((8, 9, 3), np.nan), r"some values are not finite \(NaN or infinity\)"),
    "None": (None, "NoneType is not a path, bytes, a PIL image, an array or a tensor"),
    "int": (7, "int is not a path, bytes, a PIL image, an array or a tensor"),
    "str_missing_path": ("does_not_exist.jpg", "does_not_exist.jpg: no such file"),
    "str_not_an_image_file": (str(ROOT / "README.md"), r".*README\.md: not an image of a supported format"),
}


def test_every_input_of_the_references_is_tested(shared_golden):
    recorded = json.loads((shared_golden / "preprocess" / "errors.json").read_text())["inputs"]
    tables = (SAME_AS_REFERENCE, CONVERTED, FLOATS, SCALED, AMBIGUOUS, REFUSED)
    other = {"list_empty", "list_with_None"}
    assert set().union(*tables, other) == set(recorded)


@pytest.mark.parametrize(("ours", "stock"), [(LevitImageProcessor, StockPil), (LevitImageProcessorFast, StockFast)])
@pytest.mark.parametrize("entry", SAME_AS_REFERENCE)
def test_inputs_that_the_references_accept_have_their_values(ours, stock, entry):
    np.testing.assert_array_equal(values(ours, SAME_AS_REFERENCE[entry]), values(stock, SAME_AS_REFERENCE[entry]))


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("entry", CONVERTED)
def test_images_of_other_formats_are_converted_to_rgb(cls, entry):
    image, rgb = CONVERTED[entry]
    np.testing.assert_array_equal(values(cls, image), values(cls, rgb))


@pytest.mark.parametrize("entry", FLOATS)
def test_floats_up_to_255_are_within_two_levels_of_uint8_without_overshoot(entry):
    image, rgb = FLOATS[entry]
    np.testing.assert_array_equal(values(LevitImageProcessor, image), values(LevitImageProcessor, rgb))
    fast = values(LevitImageProcessorFast, image, do_normalize=False)
    assert np.abs(fast - values(LevitImageProcessorFast, rgb, do_normalize=False)).max() <= 2.01 / 255
    assert fast.min() == 0
    assert fast.max() == 1


@pytest.mark.parametrize(("ours", "stock"), [(LevitImageProcessor, StockPil), (LevitImageProcessorFast, StockFast)])
@pytest.mark.parametrize("entry", SCALED)
def test_floats_up_to_1_have_the_values_of_the_references_and_a_warning(ours, stock, entry):
    with pytest.warns(LevitWarning, match=r"^the values are already between 0 and 1: set do_rescale=False$"):
        actual = values(ours, SCALED[entry])
    # The tolerance is the overshoot of transformers' torchvision class, in noise at most a third of the range.
    np.testing.assert_allclose(actual, values(stock, SCALED[entry]), atol=0.4 / 255 / 0.224)
    bytes_ = values(ours, RGB, do_normalize=False)
    np.testing.assert_allclose(values(ours, SCALED[entry], **UNSCALED), bytes_, atol=2.01 / 255)


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("entry", AMBIGUOUS)
def test_an_ambiguous_channel_position_is_reported_in_a_warning(cls, entry):
    image, rgb, position = AMBIGUOUS[entry]
    with pytest.warns(
        LevitWarning, match=rf"^an image of shape .* is interpreted as channels {position}: set input_data"
    ):
        actual = values(cls, image)
    np.testing.assert_array_equal(actual, values(cls, Image.fromarray(rgb)))
    np.testing.assert_array_equal(actual, values(cls, image, input_data_format=f"channels_{position}"))


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("entry", REFUSED)
def test_an_input_that_is_not_an_image_raises_one_line_with_its_index(cls, entry):
    image, message = REFUSED[entry]
    for images, index in ((image, 0), ([RGB, RGB, image], 2)):  # the second is list_with_None, for None
        with pytest.raises(ImageError, match=f"^image {index}: {message}") as caught:
            cls()(images)
        assert "\n" not in str(caught.value)


MORE_REFUSED = {
    "no pixels": (np.zeros((0, 5, 3), np.uint8), "the image has no pixels"),
    "too bright": (
        np.full((8, 9, 3), 256.0),
        "values are from 256 to 256, but `do_rescale` expects 0 to 255: scale the image",
    ),
    "negative": (
        np.full((8, 9, 3), -1),
        "values are from -1 to -1, but `do_rescale` expects 0 to 255: scale the image",
    ),
    "infinite": (np.full((8, 9, 3), 1e300), "some values are not finite"),
    "complex": (np.zeros((8, 9, 3), complex), "an array of complex128 has no real numbers"),
    "complex tensor": (torch.zeros(3, 8, 9, dtype=torch.complex64), "a tensor of torch.complex64 has no real numbers"),
    "objects": (np.array([[None]]), "an array of object has no real numbers"),
    "five dimensions": (np.zeros((1, 1, 8, 9, 3)), r"the shape \[1, 1, 8, 9, 3\] is not that of an image"),
    "a damaged data URL": ("data:image/png;base64,%%%", r"not an image in base64"),
    "a long text": ("a" * 2000, "a string of 2000 characters is neither a path nor an image"),
    "one row": (
        np.zeros((1, 10**6, 3), np.uint8),
        "1x1000000 pixels would be resized to 256x256000000: crop the image",
    ),
    "a folder": (EXAMPLES, f"{EXAMPLES}: a folder, not an image"),
    "an unreachable URL": ("http://localhost:9/a.jpg", "http://localhost:9/a.jpg cannot be downloaded"),
}


@pytest.mark.parametrize("cls", OURS)
@pytest.mark.parametrize("case", MORE_REFUSED)
def test_further_inputs_that_are_not_images_are_refused(cls, case):
    image, message = MORE_REFUSED[case]
    with pytest.raises(ImageError, match=f"^image 0: {message}") as caught:
        cls(input_data_format="channels_last" if case == "one row" else None)(image)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", OURS)
def test_files_are_read_from_paths_bytes_and_base64(cls, tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes(PNG)
    text = base64.b64encode(PNG).decode()
    for source in (str(file), file, PNG, text, f"data:image/png;base64,{text}", [[str(file)]]):
        np.testing.assert_array_equal(values(cls, source), values(cls, RGB))


@pytest.mark.parametrize("cls", OURS)
def test_input_data_format_resolves_ambiguous_shapes(cls):
    stripes = RGB[:, :4]
    np.testing.assert_array_equal(
        values(cls, stripes.transpose(2, 0, 1), input_data_format="channels_first"),
        values(cls, stripes, input_data_format="channels_last"),
    )
    gray = values(cls, GRAY)
    np.testing.assert_array_equal(values(cls, GRAY, input_data_format="none"), gray)
    batch = np.stack([GRAY, GRAY])
    np.testing.assert_array_equal(values(cls, batch, input_data_format="none"), np.concatenate([gray, gray]))
    np.testing.assert_array_equal(values(cls, GRAY[None]), gray)
    np.testing.assert_array_equal(values(cls, GRAY[..., None]), gray)
    two = np.dstack([GRAY, GRAY])
    expected = values(cls, np.dstack([GRAY_AS_RGB, GRAY]))
    np.testing.assert_array_equal(values(cls, two, input_data_format="channels_last"), expected)


@pytest.mark.parametrize("cls", OURS)
def test_arrays_of_every_memory_layout_are_accepted_and_not_modified(cls):
    frozen = RGB.copy()
    frozen.flags.writeable = False
    for array in (frozen, RGB[::-1][::-1], np.asfortranarray(RGB), RGB.astype(">i4")):
        before = array.copy()
        np.testing.assert_array_equal(values(cls, array), values(cls, RGB))
        np.testing.assert_array_equal(array, before)
    kept = torch.rand(3, 224, 224)
    before = kept.clone()
    cls(do_resize=False, do_center_crop=False, do_rescale=False)(kept, return_tensors="pt")
    assert torch.equal(kept, before)


@pytest.mark.parametrize("cls", OURS)
def test_the_exif_orientation_is_applied_to_files_only(cls, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as opened:
        np.testing.assert_array_equal(values(cls, opened), values(cls, RGB))
    upright = np.ascontiguousarray(np.rot90(RGB, -1))
    np.testing.assert_array_equal(values(cls, Path(tmp_path / "turned.png")), values(cls, upright))


def test_a_device_that_cannot_be_used_is_an_error_of_the_option():
    with pytest.raises(ConfigError, match=r"^device: cuda:99 cannot be used \(.*\): use another device"):
        LevitImageProcessorFast(device="cuda:99")(RGB, return_tensors="pt")


@pytest.mark.parametrize("processor", OURS)
@pytest.mark.parametrize("kind", ["sparse", "sparse batch", "quantized"])
@pytest.mark.filterwarnings("ignore:.*quantiz.*:UserWarning", "ignore:.*quantiz.*:DeprecationWarning")
def test_a_tensor_that_is_not_dense_is_refused(processor, kind):
    pixels = torch.from_numpy(RGB.transpose(2, 0, 1)).float()
    tensors = {
        "sparse": lambda: pixels.to_sparse(),
        "sparse batch": lambda: pixels[None].to_sparse(),
        "quantized": lambda: torch.quantize_per_tensor(pixels, 1.0, 0, torch.quint8),
    }
    with pytest.raises(ImageError, match=r"^image 0: a sparse, quantized or nested tensor: give a dense tensor$"):
        processor()(tensors[kind]())
