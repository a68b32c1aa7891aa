import json

import numpy as np
import pytest
from hypothesis import given

from levit.errors import ConfigError, LevitError
from levit.spec.architecture import Architecture, Downsample
from tests.architectures import architectures


@given(architecture=architectures(is_general=True))
def test_to_dict_and_from_dict_are_inverse_through_json(architecture):
    assert Architecture.from_dict(json.loads(json.dumps(architecture.to_dict()))) == architecture


def test_the_defaults_are_the_documented_ones():
    architecture = Architecture()
    assert architecture.image_height_width == (224, 224)
    assert architecture.downsamples == (
        Downsample(key_dim=16, num_attention_heads=8),
        Downsample(key_dim=16, num_attention_heads=16),
    )
    assert architecture.stem_widths == (16, 32, 64, 128)
    assert architecture.stage_grids == ((14, 14), (7, 7), (4, 4))


def test_grids_are_those_of_the_convolutions_not_of_a_division():
    """100 pixels give 7 tokens, where image_size // patch_size is 6."""
    assert Architecture(image_size=(100, 64)).stage_grids == ((7, 4), (4, 2), (2, 1))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"image_size": 0}, "image_size"),
        ({"image_size": (224, 224, 3)}, "image_size"),
        ({"image_size": 1, "padding": 0}, "image_size"),
        ({"image_size": None}, "image_size"),
        ({"image_size": "224"}, "image_size"),
        ({"num_channels": -1}, "num_channels"),
        ({"num_channels": True}, "num_channels"),
        ({"kernel_size": 1.5}, "kernel_size"),
        ({"patch_size": 12}, "patch_size"),
        ({"stride": 1}, "patch_size"),
        ({"hidden_sizes": ()}, "hidden_sizes"),
        ({"hidden_sizes": 5}, "hidden_sizes"),
        ({"hidden_sizes": (4, 8, 8)}, "hidden_sizes[0]"),
        ({"hidden_sizes": (128, "256", 384)}, "hidden_sizes[1]"),
        ({"depths": (1, 2)}, "depths"),
        ({"depths": (1, -2, 1)}, "depths[1]"),
        ({"depths": (3_000_000, 1, 1)}, "depths"),
        ({"key_dim": 16}, "key_dim"),
        ({"key_dim": (16, 0, 16)}, "key_dim[1]"),
        ({"mlp_ratio": (2, 2, -1)}, "mlp_ratio[2]"),
        ({"mlp_ratio": (float("nan"), 2, 2)}, "mlp_ratio[0]"),
        ({"mlp_ratio": (float("inf"), 2, 2)}, "mlp_ratio[0]"),
        ({"attention_ratio": (2, 0, 2)}, "attention_ratio[1]"),
        ({"attention_ratio": (0.01, 2, 2)}, "attention_ratio[0]"),
        ({"padding": -1}, "padding"),
        ({"padding": (1, -1)}, "padding"),
        ({"padding": (1, 1, 1)}, "padding"),
        ({"padding": "11"}, "padding"),
        ({"stem_channels": (16, 32, 64)}, "stem_channels"),
        ({"stem_channels": (16, 32, 64, 127)}, "stem_channels"),
        ({"stem_channels": (16, 0, 64, 128)}, "stem_channels[1]"),
        ({"stem_channels": "wide"}, "stem_channels"),
        ({"stem_channels": 16}, "stem_channels"),
        ({"stem_activation": "relu"}, "stem_activation"),
        ({"attention_activation": 1}, "attention_activation"),
        ({"activation": None}, "activation"),
        ({"stem_batch_norm": 1}, "stem_batch_norm"),
        ({"mlp_batch_norm": None}, "mlp_batch_norm"),
        ({"head_batch_norm": "no"}, "head_batch_norm"),
        ({"downsamples": ()}, "downsamples"),
        ({"downsamples": 5}, "downsamples"),
        ({"downsamples": ({"key_dim": 8},) * 2}, "downsamples"),
        (
            {"downsamples": (Downsample(key_dim=16, num_attention_heads=0),) * 2},
            "downsamples[0].num_attention_heads",
        ),
        (
            {"downsamples": (Downsample(key_dim=2, num_attention_heads=1, attention_ratio=0.1),) * 2},
            "downsamples[0].attention_ratio",
        ),
        ({"activation": "relu"}, "activation"),
        ({"num_labels": -1}, "num_labels"),
        ({"num_classifiers": 3}, "num_classifiers"),
    ],
)
def test_an_invalid_value_is_an_error_of_one_line_whose_source_is_the_field(fields, field):
    with pytest.raises(ConfigError) as caught:
        Architecture(**fields)
    assert caught.value.source == field
    assert str(caught.value).startswith(f"{field}: ")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, LevitError)
    assert isinstance(caught.value, ValueError)


def test_a_wrong_number_of_stages_states_both_numbers():
    with pytest.raises(ConfigError, match=r"^depths: 2 entries, but hidden_sizes has 3: give one value per stage$"):
        Architecture(depths=(1, 2))


def test_an_unknown_field_is_named():
    with pytest.raises(ConfigError, match=r"^window: unknown field"):
        Architecture.from_dict({"window": 7})


def test_a_whole_ratio_is_equal_as_a_float_and_as_an_integer():
    assert Architecture(mlp_ratio=(2.0, 2, 2)) == Architecture()


def test_equal_values_are_normalized():
    assert Architecture(padding=(1, 1)) == Architecture()
    assert Architecture(stem_channels=(16, 32, 64, 128)) == Architecture()
    assert Architecture(padding=[0, 1], stem_channels=[8, 8, 8, 128]).stem_widths == (8, 8, 8, 128)


@pytest.mark.parametrize(
    "fields",
    [
        {"padding": (0, 1)},
        {"stem_channels": (32, 64, 128, 128)},
        {"stem_activation": "none"},
        {"attention_activation": "gelu"},
        {"stem_batch_norm": False},
        {"mlp_batch_norm": False},
        {"head_batch_norm": False},
    ],
)
def test_other_layers_than_those_of_the_paper_are_detected(fields):
    assert not Architecture(**fields).has_layers_of_paper
    assert Architecture(activation="gelu", stem_activation="gelu").has_layers_of_paper


def test_padding_after_the_image_keeps_the_grid():
    assert Architecture(padding=(0, 1)).stage_grids == Architecture().stage_grids


def test_numbers_and_arrays_of_numpy_are_those_of_python():
    fields = Architecture().to_dict() | {"image_size": np.array([224, 224]), "num_channels": np.int64(3)}
    fields |= {name: np.array(fields[name]) for name in ("hidden_sizes", "depths", "mlp_ratio")}
    fields["key_dim"] = [np.int32(size) for size in fields["key_dim"]]
    fields["downsamples"] = [{**down, "stride": np.int64(2)} for down in fields["downsamples"]]
    architecture = Architecture.from_dict(fields)
    assert json.dumps(architecture.to_dict()) == json.dumps(Architecture().to_dict())
    assert hash(architecture) == hash(Architecture())


def test_a_network_has_a_limited_number_of_stages_and_blocks():
    with pytest.raises(ConfigError, match=r"^hidden_sizes: 101 entries, but a network has at most 100 stages$"):
        Architecture(hidden_sizes=(128,) * 101)
    with pytest.raises(ConfigError, match=r"^depths: more than 1000 blocks \(\[500, 500, 1\]\)$"):
        Architecture(depths=(500, 500, 1))
