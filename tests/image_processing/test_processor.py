"""Values of the image processors, which are bit-identical to transformers and close to the recorded references."""

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.levit.image_processing_levit import LevitImageProcessor as StockFast
from transformers.models.levit.image_processing_pil_levit import LevitImageProcessorPil as StockPil

from levit import LevitImageProcessor, LevitImageProcessorFast, LevitImageProcessorPil
from levit.errors import ConfigError
from tests.conftest import GOLDEN

PAIRS = [(LevitImageProcessor, StockPil), (LevitImageProcessorFast, StockFast)]
OURS = [LevitImageProcessor, LevitImageProcessorFast]
RECORDED = [(LevitImageProcessor, "transformers_pil"), (LevitImageProcessorFast, "transformers")]

PHOTOGRAPHS = ["portrait", "landscape", "landscape_odd", "strip", "gray", "tiny", "exif6"]
OPAQUE = ["edge_1bit.png", "edge_300x1.png", "edge_cmyk.jpg", "edge_exact224.png", "edge_exif6.jpg"]
TRANSPARENT = ["edge_la.png", "edge_palette.png", "edge_rgba.png"]


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, channels), np.uint8)


def values(processor, images, **options) -> np.ndarray:
    return processor(images, return_tensors="np", **options)["pixel_values"]


def assert_recorded(processor, file, key) -> None:
    with np.load(file.parents[1] / f"{file.stem}.npz") as arrays:
        expected = arrays[key].astype(np.float32)
    np.testing.assert_allclose(values(processor, str(file))[0], expected, atol=1e-3)
    with Image.open(file) as image:
        image.load()
    key = key.replace("_convert_rgb", "")
    with np.load(file.parents[1] / f"{file.stem}.npz") as arrays:
        if f"{key}_raw" in arrays and "exif" in file.stem:  # PIL images are not rotated
            np.testing.assert_allclose(values(processor, image)[0], arrays[f"{key}_raw"], atol=1e-3)


@pytest.mark.parametrize(("cls", "key"), RECORDED)
@pytest.mark.parametrize("file", OPAQUE)
def test_unusual_images_have_the_recorded_values(cls, key, file):
    assert_recorded(cls(), GOLDEN / "preprocess" / "images" / file, key)


@pytest.mark.parametrize(("cls", "key"), RECORDED)
@pytest.mark.parametrize("file", TRANSPARENT)
def test_transparent_images_have_the_values_recorded_on_white(cls, key, file):
    assert_recorded(cls(), GOLDEN / "preprocess" / "images" / file, f"{key}_convert_rgb")


@pytest.mark.parametrize(("cls", "key"), RECORDED)
@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_have_the_recorded_values(shared_golden, cls, key, name):
    assert_recorded(cls(), shared_golden / "preprocess" / "images" / f"{name}.jpg", key)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_the_two_classes_differ_by_two_levels_at_most(shared_golden, name):
    file = str(shared_golden / "preprocess" / "images" / f"{name}.jpg")
    slow, fast = (values(cls(do_normalize=False), file) for cls in OURS)
    assert np.abs(slow - fast).max() <= 2.01 / 255


sides = st.integers(1, 300)
# At least 2: transformers fails for a result of one pixel.
boxes = st.fixed_dictionaries({"height": st.integers(2, 64), "width": st.integers(1, 64)})
channels = st.lists(st.floats(0.1, 0.9), min_size=3, max_size=3)
configurations = st.fixed_dictionaries(
    {},
    optional={
        "do_resize": st.booleans(),
        "size": boxes | st.fixed_dictionaries({"shortest_edge": st.integers(2, 48)}) | st.integers(2, 48),
        "resample": st.integers(0, 3),
        "do_center_crop": st.booleans(),
        "crop_size": boxes | st.integers(1, 64),
        "do_rescale": st.booleans(),
        "rescale_factor": st.sampled_from([1 / 255, 1 / 127.5, 0.5]),
        "do_normalize": st.booleans(),
        "image_mean": channels | st.floats(0.1, 0.9),
        "image_std": channels | st.floats(0.1, 0.9),
        "do_convert_rgb": st.sampled_from([None, True, False]),
    },
)


def every_form(array: np.ndarray) -> list:
    """Return an RGB image in all forms that transformers accepts."""
    first = np.ascontiguousarray(array.transpose(2, 0, 1))
    forms: list = [Image.fromarray(array)]
    if array.shape[0] > 4 and array.shape[1] > 4:  # otherwise the position of the channels is ambiguous
        forms += [array, first, torch.from_numpy(array), torch.from_numpy(first)]
    return forms


def check_values(ours, stock, height, width, options, per_call):
    array = noise(height, width)
    expected = (stock()(array if min(height, width) > 4 else Image.fromarray(array), **options))["pixel_values"][0]
    processor, call_options = (ours(), options) if per_call else (ours(**options), {})
    for image in every_form(array):
        actual = processor(image, **call_options)["pixel_values"][0]
        assert type(actual) is type(expected)
        assert actual.dtype == expected.dtype
        np.testing.assert_array_equal(np.asarray(actual), np.asarray(expected))


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
@settings(max_examples=10)
@given(height=sides, width=sides, options=configurations, per_call=st.booleans())
def test_some_options_result_in_the_values_of_transformers(ours, stock, height, width, options, per_call):
    check_values(ours, stock, height, width, options, per_call)


@pytest.mark.slow
@pytest.mark.parametrize(("ours", "stock"), PAIRS)
@settings(max_examples=100)
@given(height=sides, width=sides, options=configurations, per_call=st.booleans())
def test_many_options_result_in_the_values_of_transformers(ours, stock, height, width, options, per_call):
    check_values(ours, stock, height, width, options, per_call)


@pytest.mark.parametrize("resample", [4, 5])
def test_two_filters_of_pillow_alone_have_the_values_of_transformers(resample):
    image = noise(80, 60)
    np.testing.assert_array_equal(
        values(LevitImageProcessor(resample=resample), image), values(StockPil(resample=resample), image)
    )


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_a_batch_of_mixed_sizes_has_the_values_of_transformers_in_order(ours, stock):
    images = [noise(*size) for size in [(50, 70), (90, 40), (50, 70), (224, 224), (50, 70), (90, 40)]]
    expected = stock()(images, return_tensors="pt")["pixel_values"]
    assert torch.equal(ours()(images, return_tensors="pt")["pixel_values"], expected)
    assert torch.equal(ours()(images, return_tensors="pt", disable_grouping=True)["pixel_values"], expected)
    for image, expected_values in zip(images, expected, strict=True):
        assert torch.equal(ours()(image, return_tensors="pt")["pixel_values"][0], expected_values)


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (480, 640), (225, 223), (37, 5), (99, 100), (257, 256)])
def test_the_defaults_result_in_the_values_of_transformers(ours, stock, size):
    np.testing.assert_array_equal(values(ours(), noise(*size)), values(stock(), noise(*size)))


@pytest.mark.parametrize(("ours", "stock"), PAIRS)
def test_padding_results_in_the_values_of_transformers(ours, stock):
    images = [noise(50, 70), noise(90, 40)]
    options = {"do_center_crop": False, "do_pad": True, "pad_size": {"height": 600, "width": 400}}
    np.testing.assert_array_equal(values(ours(), images, **options), values(stock(), images, **options))


@pytest.mark.parametrize("cls", OURS)
def test_the_values_of_an_image_do_not_depend_on_the_batch(cls):
    bytes_, floats = noise(50, 70), noise(50, 70).astype(np.float32)[::-1] / 2
    together = values(cls(), [bytes_, floats, bytes_])
    np.testing.assert_array_equal(
        together, np.concatenate([values(cls(), image) for image in (bytes_, floats, bytes_)])
    )


@pytest.mark.parametrize("cls", OURS)
def test_return_tensors_determines_the_type_of_the_result(cls):
    image = noise(50, 70)
    results = cls()([image, image])["pixel_values"]
    assert isinstance(results, list)
    assert [tuple(result.shape) for result in results] == [(3, 224, 224)] * 2
    assert all(isinstance(result, np.ndarray if cls is LevitImageProcessor else torch.Tensor) for result in results)
    for name, array_type in (("np", np.ndarray), ("pt", torch.Tensor)):
        stacked = cls()([image, image], return_tensors=name)["pixel_values"]
        assert isinstance(stacked, array_type)
        np.testing.assert_array_equal(stacked, np.stack([np.asarray(result) for result in results]))


@pytest.mark.parametrize("cls", OURS)
def test_the_result_is_an_array_of_jax(cls):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    image = noise(50, 70)
    result = cls()([image, image], return_tensors="jax")["pixel_values"]
    assert isinstance(result, jax.Array)
    np.testing.assert_array_equal(np.asarray(result), values(cls(), [image, image]))


@pytest.mark.parametrize("cls", OURS)
def test_arrays_of_jax_need_jax(cls, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax.numpy", None)
    with pytest.raises(ImportError, match=r'needs jax: pip install "levit\[jax\]"'):
        cls()(noise(50, 70), return_tensors="jax")


@pytest.mark.parametrize("cls", OURS)
def test_tensors_of_tensorflow_are_refused_in_a_sentence(cls):
    with pytest.raises(ConfigError, match=r"'tf' is invalid: use 'np' .*TensorFlow itself is not supported"):
        cls()(noise(50, 70), return_tensors="tf")


@pytest.mark.parametrize("cls", OURS)
def test_data_format_determines_the_layout_of_the_result(cls):
    last, first = noise(50, 70), noise(50, 70).transpose(2, 0, 1)
    expected = values(cls(), last)
    for image in (last, first, Image.fromarray(last)):
        np.testing.assert_array_equal(values(cls(), image, data_format="channels_first"), expected)
        actual = values(cls(data_format="channels_last"), image)
        assert actual.flags.c_contiguous
        np.testing.assert_array_equal(actual, expected.transpose(0, 2, 3, 1))
    assert values(cls(), last, data_format="none").shape == (1, 224, 224, 3)
    assert values(cls(), Image.fromarray(last), data_format="none").shape == (1, 224, 224, 3)
    assert values(cls(), first, data_format="none").shape == (1, 3, 224, 224)
    assert values(cls(), last[..., 0], data_format="none").shape == (1, 3, 224, 224)


@pytest.mark.parametrize("cls", OURS)
def test_without_a_data_format_the_layout_is_that_of_stock_transformers(cls):
    last = noise(50, 70)
    stocks = [values(stock(data_format=None), last) for stock in (StockFast, StockPil)]
    for actual in (values(cls(data_format=None), last), values(cls(), last, data_format=None)):
        assert {actual.shape, *(stock.shape for stock in stocks)} == {(1, 3, 224, 224)}


@pytest.mark.parametrize("cls", OURS)
def test_an_empty_batch_has_an_empty_result_of_the_usual_shape(cls):
    assert cls()([])["pixel_values"] == []
    assert values(cls(), []).shape == (0, 3, 224, 224)
    assert values(cls(), np.zeros((0, 50, 70, 3), np.uint8), data_format="channels_last").shape == (0, 224, 224, 3)


@pytest.mark.parametrize("cls", OURS)
def test_an_image_can_be_resized_to_one_pixel(cls):
    image = np.full((9, 9, 3), 40, np.uint8)
    options = {"size": 1, "do_center_crop": False, "do_rescale": False, "do_normalize": False}
    np.testing.assert_array_equal(values(cls(), image, **options), np.full((1, 3, 1, 1), 40))


def test_each_class_has_its_backend_and_the_pillow_class_two_names():
    assert LevitImageProcessorPil is LevitImageProcessor
    assert [cls().backend for cls in OURS] == ["pil", "torchvision"]


def test_gradients_reach_floating_point_images():
    image = torch.rand(3, 50, 70, requires_grad=True)
    LevitImageProcessorFast(do_rescale=False)(image, return_tensors="pt")["pixel_values"].sum().backward()
    assert image.grad.abs().sum() > 0
    assert not LevitImageProcessor(do_rescale=False)(image, return_tensors="pt")["pixel_values"].requires_grad


def test_uint8_tensors_are_processed_without_a_transfer_to_the_cpu():
    """The meta device has no values, so reading a value raises an error."""
    images = [torch.zeros(channels, 50, 70, dtype=torch.uint8, device="meta") for channels in (1, 3, 4, 3)]
    for sources, device in ((images, None), (noise(50, 70), "meta")):
        result = LevitImageProcessorFast()(sources, device=device, return_tensors="pt")["pixel_values"]
        assert result.is_meta
        assert result.shape[1:] == (3, 224, 224)


@pytest.mark.parametrize("devices", [["cpu", "meta", "cpu"], ["meta", "cpu", "meta"]])
@pytest.mark.parametrize("do_pad", [None, True])
@pytest.mark.parametrize("disable_grouping", [None, False, True])
def test_each_tensor_of_a_batch_is_processed_on_its_device(devices, do_pad, disable_grouping):
    """The meta device takes the place of a GPU."""
    image = torch.from_numpy(noise(50, 70)).permute(2, 0, 1)
    images = [image.to(device) for device in devices]
    processor = LevitImageProcessorFast(do_pad=do_pad, disable_grouping=disable_grouping)
    results = processor(images)["pixel_values"]
    assert [str(result.device) for result in results] == devices
    np.testing.assert_array_equal(results[devices.index("cpu")], values(LevitImageProcessorFast(), image)[0])
    for kind in ("pt", "np"):
        with pytest.raises(
            ConfigError, match=r"^results on the devices cpu and meta cannot be stacked: set `device`, or omit"
        ):
            processor(images, return_tensors=kind)
    assert processor(images, device="meta", return_tensors="pt")["pixel_values"].is_meta


def test_padding_keeps_the_type_of_each_image():
    images = [noise(50, 70), noise(50, 70).astype(np.float32)]
    options = {"do_rescale": False, "do_normalize": False, "do_pad": True, "pad_size": 300}
    results = LevitImageProcessorFast(**options)(images)["pixel_values"]
    assert [(result.dtype, *result.shape) for result in results] == [
        (torch.uint8, 3, 300, 300),
        (torch.float32, 3, 300, 300),
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_tensors_are_processed_on_their_device():
    image = torch.from_numpy(noise(50, 70)).cuda()
    result = LevitImageProcessorFast()(image, return_tensors="pt")["pixel_values"]
    assert result.is_cuda
    assert LevitImageProcessorFast(device="cuda")(noise(50, 70), return_tensors="pt")["pixel_values"].is_cuda
    np.testing.assert_allclose(result.cpu(), values(LevitImageProcessorFast(), noise(50, 70)), atol=0.04)
    np.testing.assert_array_equal(values(LevitImageProcessor(), image), values(LevitImageProcessor(), noise(50, 70)))
