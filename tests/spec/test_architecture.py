import json

import pytest
from hypothesis import given

from levit.errors import ConfigError, LevitError
from levit.spec.architecture import Architecture, Downsample
from tests.architectures import architectures


@given(architecture=architectures())
def test_survives_json(architecture):
    assert Architecture.from_dict(json.loads(json.dumps(architecture.to_dict()))) == _with_floats(architecture)


def _with_floats(architecture: Architecture) -> Architecture:
    return Architecture.from_dict(architecture.to_dict())


def test_the_defaults_are_the_documented_ones():
    architecture = Architecture()
    assert architecture.image_height_width == (224, 224)
    assert architecture.downsamples == (
        Downsample(key_dim=16, num_attention_heads=8),
        Downsample(key_dim=16, num_attention_heads=16),
    )
    assert architecture.stem_widths == (16, 32, 64, 128)
    assert architecture.stage_grids == ((14, 14), (7, 7), (4, 4))


def test_grids_follow_the_convolutions_and_not_a_division():
    """100 pixels give 7 tokens, where image_size // patch_size says 6."""
    assert Architecture(image_size=(100, 64)).stage_grids == ((7, 4), (4, 2), (2, 1))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"image_size": 0}, "image_size"),
        ({"image_size": (224, 224, 3)}, "image_size"),
        ({"num_channels": -1}, "num_channels"),
        ({"num_channels": True}, "num_channels"),
        ({"kernel_size": 1.5}, "kernel_size"),
        ({"patch_size": 12}, "patch_size"),
        ({"stride": 1}, "patch_size"),
        ({"hidden_sizes": ()}, "hidden_sizes"),
        ({"hidden_sizes": (4, 8, 8)}, r"hidden_sizes\[0\]"),
        ({"hidden_sizes": (128, "256", 384)}, r"hidden_sizes\[1\]"),
        ({"depths": (1, 2)}, "depths has 2 entries"),
        ({"depths": (1, -2, 1)}, r"depths\[1\]"),
        ({"key_dim": 16}, "key_dim"),
        ({"key_dim": (16, 0, 16)}, r"key_dim\[1\]"),
        ({"mlp_ratio": (2, 2, -1)}, r"mlp_ratio\[2\]"),
        ({"attention_ratio": (2, 0, 2)}, r"attention_ratio\[1\]"),
        ({"downsamples": ()}, "downsamples"),
        (
            {"downsamples": (Downsample(key_dim=16, num_attention_heads=0),) * 2},
            r"downsamples\[0\].num_attention_heads",
        ),
        ({"activation": "relu"}, "activation"),
        ({"num_labels": -1}, "num_labels"),
        ({"num_classifiers": 3}, "num_classifiers"),
        ({"image_size": 1, "padding": 0}, "image_size"),
    ],
)
def test_an_error_names_the_field_in_one_line(fields, field):
    with pytest.raises(ConfigError, match=field) as caught:
        Architecture(**fields)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, LevitError)
    assert isinstance(caught.value, ValueError)


def test_a_field_of_a_newer_version_is_named():
    with pytest.raises(ConfigError, match="'window'"):
        Architecture.from_dict({"window": 7})


@pytest.mark.parametrize(
    "fields",
    [
        {"image_size": None},
        {"image_size": "224"},
        {"hidden_sizes": 5},
        {"downsamples": 5},
        {"downsamples": ({"key_dim": 8},) * 2},
        {"mlp_ratio": (float("nan"), 2, 2)},
        {"mlp_ratio": (float("inf"), 2, 2)},
        {"depths": (3_000_000, 1, 1)},
        {"attention_ratio": (0.01, 2, 2)},
        {"downsamples": (Downsample(key_dim=2, num_attention_heads=1, attention_ratio=0.1),) * 2},
    ],
)
def test_strange_values_are_errors_of_the_configuration(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Architecture(**fields)


def test_whole_ratios_are_the_same_whether_they_have_a_point():
    assert Architecture(mlp_ratio=(2.0, 2, 2)) == Architecture()
