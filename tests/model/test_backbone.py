import numpy as np
import pytest
import torch

import levit
from levit import ConfigError, LevitBackbone, LevitConfig, LevitModel
from tests.conftest import GOLDEN, agrees
from tests.model.networks import small_config

TINY = GOLDEN / "tiny"
EXPECTED = np.load(TINY / "expected.npz")
IMAGES = torch.from_numpy(np.load(TINY / "input.npy"))


@torch.no_grad()
def test_feature_maps_equal_those_of_timm_and_mmpretrain():
    backbone = LevitBackbone.from_pretrained(TINY / "transformers", out_indices=[0, 1, 2, 3])
    maps = backbone(IMAGES).feature_maps
    assert agrees(maps[0], EXPECTED["patch_embed"])
    for index in range(3):
        assert agrees(maps[index + 1], EXPECTED[f"stage_features_{index}"]), index


@torch.no_grad()
def test_selected_stages_are_returned_and_the_last_by_default():
    assert [tuple(map_.shape) for map_ in LevitBackbone(small_config()).eval()(torch.zeros(1, 3, 64, 64))[0]] == [
        (1, 32, 1, 1)
    ]
    config = small_config(out_features=["stem", "stage2"])
    assert config.out_indices == [0, 2]
    backbone = LevitBackbone(config).eval()
    assert backbone.channels == [16, 24]
    output = backbone(torch.zeros(1, 3, 64, 64))
    assert [tuple(map_.shape) for map_ in output.feature_maps] == [(1, 16, 4, 4), (1, 24, 2, 2)]
    backbone.out_features = ["stage1", "stage3"]
    assert [tuple(map_.shape) for map_ in backbone(torch.zeros(1, 3, 64, 64)).feature_maps] == [
        (1, 16, 4, 4),
        (1, 32, 1, 1),
    ]


def test_an_unknown_stage_is_named_in_the_error():
    with pytest.raises(ValueError, match="stage4"):
        small_config(out_features=["stage4"])


def test_a_saved_backbone_keeps_its_stages(tmp_path):
    LevitBackbone(small_config(out_indices=[1, 3])).save_pretrained(tmp_path)
    assert LevitConfig.from_pretrained(tmp_path).out_features == ["stage1", "stage3"]


def test_the_file_of_other_networks_contains_no_stages(tmp_path):
    LevitModel(small_config()).save_pretrained(tmp_path)
    assert "out_features" not in (tmp_path / "config.json").read_text()


@torch.no_grad()
def test_hidden_states_of_a_backbone_are_all_feature_maps():
    output = LevitBackbone(small_config()).eval()(torch.zeros(1, 3, 64, 64), output_hidden_states=True)
    assert [state.shape[1] for state in output.hidden_states] == [16, 16, 24, 32]
    plain = LevitBackbone(small_config()).eval()(torch.zeros(1, 3, 64, 64), return_dict=False)
    assert isinstance(plain, tuple)
    assert len(plain) == 1


@pytest.mark.parametrize("model_class", [LevitModel, LevitBackbone])
def test_weights_of_a_classifier_are_loaded_without_a_report(model_class):
    _, report = model_class.from_pretrained(TINY / "transformers", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]


@torch.no_grad()
@pytest.mark.parametrize(
    "model_class", [levit.LevitForImageClassificationWithTeacher, levit.LevitForImageClassification, LevitModel]
)
def test_attentions_are_the_probabilities_of_every_block(model_class):
    model = model_class.from_pretrained(TINY / "transformers")
    output = model(IMAGES, output_attentions=True)
    shapes = [(2, 49, 49), (4, 16, 49), (3, 16, 16), (3, 16, 16), (6, 4, 16), (5, 4, 4)]
    assert [tuple(probabilities.shape) for probabilities in output.attentions] == [(2, *shape) for shape in shapes]
    for probabilities in output.attentions:
        torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(probabilities.shape[:-1]))
    assert torch.equal(output[0], model(IMAGES)[0])
    assert torch.equal(model(IMAGES, output_attentions=True, return_dict=False)[-1][0], output.attentions[0])
    model.config.output_attentions = True
    assert len(model(IMAGES).attentions) == 6
    assert model(IMAGES, output_attentions=False).attentions is None


def test_gradients_reach_attentions_and_hidden_states():
    model = LevitModel(small_config()).eval()
    for parameter in model.parameters():  # small: large ones saturate the softmax, whose gradient is then 0
        torch.nn.init.normal_(parameter, std=0.2)
    output = model(torch.randn(1, 3, 64, 64), output_attentions=True, output_hidden_states=True)
    output.attentions[0].retain_grad()
    output.hidden_states[0].retain_grad()
    output.pooler_output.sum().backward()
    assert output.attentions[0].grad.abs().sum() > 0
    assert output.hidden_states[0].grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("pixel_values", "match"),
    [
        (None, "^pixel_values: missing: give images"),
        (torch.zeros(1, 1, 64, 64), r"give \[batch, 3, height, width\]"),
        (torch.zeros(3, 64, 64), r"give \[batch, 3, height, width\]"),
    ],
)
@pytest.mark.parametrize("model_class", [LevitModel, LevitBackbone, levit.LevitForImageClassification])
def test_invalid_input_is_named_in_the_error(model_class, pixel_values, match):
    with pytest.raises(ConfigError, match=match):
        model_class(small_config())(pixel_values)


def test_an_empty_batch_is_accepted_and_integers_are_refused():
    model = levit.LevitForImageClassification(small_config()).eval()
    assert model(torch.zeros(0, 3, 64, 64)).logits.shape[0] == 0
    with pytest.raises(ConfigError, match=r"^pixel_values has dtype torch\.uint8: normalize"):
        model(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))


def test_the_error_for_a_folder_of_timm_states_how_to_open_it():
    with pytest.raises(ConfigError, match=r"timm's configuration of .*: open it with levit\.load_checkpoint"):
        levit.LevitForImageClassification.from_pretrained(GOLDEN / "tiny" / "timm")
