"""Options that the image processors accept and refuse, with every option of the references' errors.json."""

import json

import numpy as np
import pytest
import torch
import torchvision
from packaging.version import Version
from PIL import Image
from transformers.image_utils import ChannelDimension, SizeDict
from transformers.utils import TensorType

from levit import ConfigError, LevitImageProcessor, LevitImageProcessorFast
from levit.image_processing.processor_options import normalize_options

OURS = {"transformers_pil": LevitImageProcessor, "transformers": LevitImageProcessorFast}
IMAGE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)

# Entry of errors.json -> options. The results equal those of the references.
SAME_AS_REFERENCE = {
    "size shortest_edge=32 crop 32": {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}},
    "size height/width 224 (no 256/224 enlargement)": {"size": {"height": 224, "width": 224}},
    "size height/width 256x256": {"size": {"height": 256, "width": 256}},
    "size shortest_edge 224 crop 300 (crop larger than resized: zero padding)": {"crop_size": 300},
    "size int 224": {"size": 224},
    "crop_size int 200": {"crop_size": 200},
    "do_resize False": {"do_resize": False},
    "do_center_crop False": {"do_center_crop": False},
    "do_rescale False": {"do_rescale": False},
    "do_normalize False": {"do_normalize": False},
    "resample bilinear (2)": {"resample": 2},
    "resample nearest (0)": {"resample": 0},
    "resample lanczos (1)": {"resample": 1},
    "rescale_factor 1": {"rescale_factor": 1},
    "do_resize and do_center_crop False": {"do_resize": False, "do_center_crop": False},
}

# Entry -> options, and the error message. The references fail with an internal error, or compute NaN.
REFUSED = {
    "size longest_edge only": (
        {"size": {"longest_edge": 224}},
        'size: .* is invalid: use {"shortest_edge": …} or',
    ),
    "size 0": ({"size": 0}, "size: 0 is invalid: use integers of at least 1"),
    "size negative": ({"size": {"shortest_edge": -5}}, "size: .* is invalid: use integers of at least 1"),
    "image_mean length 1": (
        {"image_mean": [0.5], "image_std": [0.5]},
        "image_mean has length 1, but image 0 has",
    ),
    "image_std 0": ({"image_std": [0.2, 0, 0.2]}, "image_std: .* is invalid: use numbers other than 0"),
    "unknown option": ({"foo": 1}, "unknown option 'foo': use do_convert_rgb, do_resize"),
}


@pytest.fixture(scope="module")
def recorded(shared_golden):
    return json.loads((shared_golden / "preprocess" / "errors.json").read_text())["options_on_portrait"]


def test_every_option_of_the_references_is_tested(recorded):
    other = {"return data_format channels_last", "do_center_crop False, two sizes"}
    assert set(SAME_AS_REFERENCE) | set(REFUSED) | other == set(recorded)


@pytest.mark.parametrize("key", OURS)
@pytest.mark.parametrize("entry", SAME_AS_REFERENCE)
def test_options_that_the_references_accept_have_their_values(recorded, shared_golden, key, entry):
    file = shared_golden / "preprocess" / "images" / "portrait.jpg"
    if "lanczos" in entry and key == "transformers" and Version(torchvision.__version__) < Version("0.27"):
        pytest.skip("transformers resizes bicubically there: lanczos of tensors came with torchvision 0.27")
    actual = OURS[key]()(str(file), return_tensors="np", **SAME_AS_REFERENCE[entry])["pixel_values"]
    expected = recorded[entry][key]
    assert list(actual.shape) == expected["shape"]
    statistics = [actual.mean(), actual.min(), actual.max()]
    np.testing.assert_allclose(statistics, [expected[name] for name in ("mean", "min", "max")], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("key", OURS)
@pytest.mark.parametrize("entry", REFUSED)
def test_options_on_which_the_references_fail_raise_one_line(key, entry):
    options, message = REFUSED[entry]
    with pytest.raises(ConfigError, match=f"^{message}") as caught:
        OURS[key]()(IMAGE, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cls", OURS.values())
def test_data_format_is_applied_although_the_references_ignore_it(cls):
    assert cls()(IMAGE, data_format="channels_last", return_tensors="pt")["pixel_values"].shape == (1, 224, 224, 3)


@pytest.mark.parametrize("cls", OURS.values())
def test_results_of_two_sizes_are_a_list_and_cannot_be_stacked(cls):
    images = [IMAGE, IMAGE.transpose(1, 0, 2)]
    results = cls(do_center_crop=False)(images)["pixel_values"]
    assert [tuple(result.shape) for result in results] == [(3, 256, 358), (3, 358, 256)]
    message = (
        r"^results of the shapes \[3, 256, 358\] and \[3, 358, 256\] cannot be stacked: set `do_center_crop` to True"
    )
    with pytest.raises(ConfigError, match=message):
        cls(do_center_crop=False)(images, return_tensors="pt")


INVALID = [
    ("do_resize", "yes"),
    ("do_resize", 1),
    ("size", {"shortest_edge": 224, "longest_edge": 300}),
    ("size", {"height": 224}),
    ("size", {"shortest_edge": 224.5}),
    ("size", {"shortest_edge": True}),
    ("size", {"heigth": 224, "width": 224}),
    ("size", "224"),
    ("size", [224]),
    ("size", SizeDict(max_height=3, max_width=3)),
    ("crop_size", {"shortest_edge": 224}),
    ("crop_size", {"height": 0, "width": 224}),
    ("crop_size", (224, 224, 3)),
    ("pad_size", -1),
    ("resample", 6),
    ("resample", -1),
    ("resample", "bicubic"),
    ("resample", True),
    ("rescale_factor", 0),
    ("rescale_factor", "1/255"),
    ("rescale_factor", float("nan")),
    ("image_mean", []),
    ("image_mean", "0.5"),
    ("image_mean", [0.5, None, 0.5]),
    ("image_mean", [0.5, float("inf"), 0.5]),
    ("image_std", 0),
    ("image_std", [0.5, 0.5, 0.0]),
    ("image_std", np.zeros(3)),
    ("data_format", "channel_last"),
    ("input_data_format", "HWC"),
    ("input_data_format", 3),
    ("return_tensors", "tf"),
    ("return_tensors", True),
    ("device", "the moon"),
]


@pytest.mark.parametrize("cls", OURS.values())
@pytest.mark.parametrize(("name", "value"), INVALID)
def test_an_invalid_option_is_named_in_one_line(cls, name, value):
    for attempt in (lambda: cls(**{name: value}), lambda: cls()(IMAGE, **{name: value})):
        with pytest.raises(ConfigError, match=f"^{name}: .* is invalid: use ") as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, ValueError)


INCOMPLETE = [
    ({"size": None}, "size: None is invalid: `do_resize` requires a value"),
    ({"resample": None}, "resample: None is invalid: `do_resize` requires a value"),
    ({"crop_size": None}, "crop_size: None is invalid: `do_center_crop` requires a value"),
    ({"rescale_factor": None}, "rescale_factor: None is invalid: `do_rescale` requires a value"),
    ({"image_mean": None}, "image_mean: None is invalid: `do_normalize` requires a value"),
    ({"image_mean": [0.5] * 4}, "`image_mean` and `image_std` have different lengths"),
]


@pytest.mark.parametrize("cls", OURS.values())
@pytest.mark.parametrize(("options", "message"), INCOMPLETE)
def test_an_enabled_step_without_its_values_is_refused(cls, options, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        cls()(IMAGE, **options)


@pytest.mark.parametrize("resample", [4, 5])
def test_two_filters_of_pillow_are_refused_for_tensors(resample):
    with pytest.raises(
        ConfigError,
        match=rf"^resample: {resample} \((box|hamming)\) is not supported for tensors: use LevitImageProcessor",
    ):
        LevitImageProcessorFast(resample=resample)(IMAGE)
    assert LevitImageProcessorFast(resample=resample, do_resize=False)(IMAGE)["pixel_values"]


@pytest.mark.parametrize("cls", OURS.values())
@pytest.mark.parametrize(("pad_size", "shown"), [(100, "100x100"), ({"height": 300, "width": 223}, "300x223")])
def test_images_larger_than_the_padded_size_are_refused(cls, pad_size, shown):
    message = rf"^pad_size is {shown} pixels, but image 0 has 224x224 before padding: use at least the size of "
    with pytest.raises(ConfigError, match=message) as caught:
        cls(do_pad=True, pad_size=pad_size)([IMAGE, IMAGE])
    assert caught.value.source == "pad_size"
    assert cls(do_pad=True, pad_size=224)(IMAGE)["pixel_values"][0].shape == (3, 224, 224)


def test_options_are_converted_to_built_in_types():
    options = {
        "size": SizeDict(height=3, width=4),
        "crop_size": {"height": np.int64(3), "width": 4},
        "resample": Image.Resampling.BICUBIC,
        "rescale_factor": 1,
        "image_mean": np.array([0, 0.5, 1]),
        "image_std": 0.5,
        "data_format": ChannelDimension.LAST,
        "return_tensors": TensorType.PYTORCH,
        "device": torch.device("cpu"),
        "do_resize": np.True_,
        "do_pad": None,
        "of a later version": 7,
    }
    assert normalize_options(options) == {
        "size": {"height": 3, "width": 4},
        "crop_size": {"height": 3, "width": 4},
        "resample": 3,
        "rescale_factor": 1.0,
        "image_mean": (0.0, 0.5, 1.0),
        "image_std": 0.5,
        "data_format": "channels_last",
        "return_tensors": "pt",
        "device": "cpu",
        "do_resize": True,
        "do_pad": None,
        "of a later version": 7,
    }


@pytest.mark.parametrize("cls", OURS.values())
def test_options_of_other_types_have_the_same_effect(cls):
    plain = cls(size={"height": 32, "width": 48}, crop_size={"height": 20, "width": 20})
    other = cls(size=(32, 48), crop_size=np.int64(20), image_mean=np.array(plain.image_mean), resample=3)
    assert other.to_dict() == plain.to_dict()
    other.size = [32, 48]
    np.testing.assert_array_equal(other(IMAGE)["pixel_values"][0], plain(IMAGE)["pixel_values"][0])
    squared = cls()(IMAGE, size=32, default_to_square=True, do_center_crop=False)["pixel_values"][0]
    assert squared.shape == (3, 32, 32)
