import json

import pytest
import transformers

import levit
from levit import ConfigError, LevitConfig
from levit.spec.network import count_parameters
from levit.spec.variants import VARIANTS

DOCUMENTED = {
    "image_size": 224,
    "num_channels": 3,
    "kernel_size": 3,
    "stride": 2,
    "padding": 1,
    "patch_size": 16,
    "hidden_sizes": [128, 256, 384],
    "num_attention_heads": [4, 8, 12],
    "depths": [4, 4, 4],
    "key_dim": [16, 16, 16],
    "drop_path_rate": 0,
    "mlp_ratio": [2, 2, 2],
    "mlp_ratios": [2, 2, 2],
    "attention_ratio": [2, 2, 2],
    "attention_ratios": [2, 2, 2],
    "initializer_range": 0.02,
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_defaults_are_the_documented_ones(name):
    assert getattr(LevitConfig(), name) == DOCUMENTED[name]


@pytest.mark.parametrize("spelling", ["mlp_ratio", "mlp_ratios"])
def test_both_names_of_the_ratios_are_accepted(spelling):
    config = LevitConfig(**{spelling: [4, 4, 4]})
    assert config.mlp_ratio == config.mlp_ratios == [4, 4, 4]
    assert count_parameters(config.architecture()) > count_parameters(LevitConfig().architecture())


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_has_the_published_architecture(name):
    config = LevitConfig.from_variant(name.upper(), num_labels=7)
    assert config.architecture(num_classifiers=2) == VARIANTS[name].architecture(num_labels=7)
    assert config.drop_path_rate == VARIANTS[name].drop_path_rate
    assert LevitConfig.from_variant(name).num_labels == 1000


def test_a_variant_accepts_labels():
    assert LevitConfig.from_variant("levit-128s", id2label={0: "cat", 1: "dog", 2: "owl"}).num_labels == 3


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"depths": [1, 2]}, "depths: 2 entries"),
        ({"drop_path_rate": 1.0}, "^drop_path_rate: 1.0 is invalid: use a number from 0 to below 1"),
        ({"drop_path_rate": -0.1}, "drop_path_rate"),
        ({"drop_path_rate": "0.1"}, "drop_path_rate"),
        ({"initializer_range": -1}, "initializer_range"),
        ({"image_size": None}, "image_size"),
        ({"patch_size": 10}, "patch_size"),
        ({"patch_size": [16, 8]}, "patch_size"),
        ({"key_dim": "16"}, "key_dim"),
        ({"down_ops": [["Subsample", 8]]}, "down_ops"),
        ({"activation": "relu"}, "activation"),
    ],
)
def test_an_invalid_value_is_named_in_the_error(values, match):
    with pytest.raises(ConfigError, match=match):
        LevitConfig(**values)


def test_a_fractional_drop_path_rate_is_saved_in_a_form_that_stock_transformers_reads(tmp_path):
    LevitConfig(drop_path_rate=0.1).save_pretrained(tmp_path)
    assert LevitConfig.from_pretrained(tmp_path).drop_path_rate == 0.1
    assert transformers.LevitConfig.from_pretrained(tmp_path).drop_path_rate == 0
    assert transformers.AutoConfig.from_pretrained(tmp_path).hidden_sizes == [128, 256, 384]


@pytest.mark.parametrize(
    "values",
    [
        {"activation": "silu"},
        {"patch_size": 8, "image_size": 64},
        {"image_size": [224, 192]},
        {"image_size": 100},
        {"mlp_ratio": [1.5, 2, 2]},
        {
            "hidden_sizes": [16],
            "num_attention_heads": [2],
            "depths": [1],
            "key_dim": [8],
            "mlp_ratio": [2],
            "attention_ratio": [2],
        },
    ],
)
def test_stock_transformers_refuses_a_network_that_it_would_compute_incorrectly(tmp_path, values, recwarn):
    config = LevitConfig(**values)
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "levit_extended"
    again = LevitConfig.from_pretrained(tmp_path)
    assert again.architecture() == config.architecture()
    with pytest.raises(ValueError, match="levit_extended"):
        transformers.AutoConfig.from_pretrained(tmp_path)
    with pytest.raises(Exception, match="drop_path_rate"):
        transformers.LevitConfig.from_pretrained(tmp_path)
    assert not recwarn.list


@pytest.mark.parametrize("values", [{"mlp_ratio": [2.0, 2, 2]}, {"patch_size": [16, 16]}, {"image_size": [224, 224]}])
def test_equivalent_values_are_saved_in_the_form_that_stock_transformers_reads(tmp_path, values):
    config = LevitConfig(**values)
    config.save_pretrained(tmp_path)
    stock = transformers.LevitModel(transformers.LevitConfig.from_pretrained(tmp_path))
    ours = levit.LevitModel(config)
    assert stock.state_dict().keys() == ours.state_dict().keys()


@pytest.mark.parametrize("values", [{"padding": 0}, {"kernel_size": 5}])
def test_a_stem_with_another_output_grid_is_not_stock(values):
    assert not LevitConfig(**values).is_stock()


def test_the_plural_names_are_second_names(tmp_path):
    LevitConfig().save_pretrained(tmp_path)
    assert LevitConfig.from_pretrained(tmp_path, mlp_ratios=[4, 4, 4]).mlp_ratio == [4, 4, 4]
    config = LevitConfig()
    config.attention_ratios = [3, 3, 3]
    assert config.attention_ratio == [3, 3, 3]


def test_files_of_stock_transformers_are_read(tmp_path):
    stock = transformers.LevitConfig(hidden_sizes=[32, 48, 64], key_dim=[8, 8, 8], num_labels=5)
    transformers.LevitForImageClassification(stock).save_pretrained(tmp_path)  # appends [""] to down_ops
    config = LevitConfig.from_pretrained(tmp_path)
    assert config.down_ops == [["Subsample", 8, 4, 4, 2, 2], ["Subsample", 8, 6, 4, 2, 2]]
    assert config.num_labels == 5


def test_building_a_network_does_not_change_the_configuration():
    config = LevitConfig.from_variant("levit-128s", num_labels=3)
    before = config.to_dict()
    for _ in range(2):
        levit.LevitForImageClassification(config)
    assert config.to_dict() == before


@pytest.mark.parametrize("id2label", [{"-1": "cat", "0": "dog"}, {"NaN": "cat", "0": "dog"}, ["cat", "dog"]])
def test_class_names_for_other_numbers_than_those_of_the_classes_are_an_error(id2label):
    with pytest.raises(ConfigError, match=r"^id2label does not map the numbers 0, 1, 2"):
        LevitConfig(id2label=id2label)
