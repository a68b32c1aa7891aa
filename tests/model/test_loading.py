from dataclasses import replace

import numpy as np
import pytest
import torch

import levit
from levit.checkpoints.from_model import checkpoint_from_model
from levit.spec.variants import TIMM_VARIANTS
from tests.conftest import GOLDEN, agrees, random_checkpoint

TINY = GOLDEN / "tiny"
EXPECTED = np.load(TINY / "expected.npz")
IMAGES = torch.from_numpy(np.load(TINY / "input.npy"))


@torch.no_grad()
@pytest.mark.parametrize(
    "file",
    ["facebook.pth", "facebook-conv.pth", "timm", "timm-conv", "mmpretrain.pth", "transformers", "transformers-legacy"],
)
def test_every_dialect_loads_with_the_golden_logits(file):
    model = levit.load_checkpoint(TINY / file)
    assert not model.training
    assert agrees(model(IMAGES).logits, EXPECTED["logits"])


@torch.no_grad()
@pytest.mark.parametrize("file", ["facebook-fused.pth", "mmpretrain-deploy.pth"])
def test_fused_files_load_with_their_own_logits(file):
    np.testing.assert_allclose(levit.load_checkpoint(TINY / file)(IMAGES).logits, EXPECTED["fused_logits"], atol=1e-4)


def test_the_class_depends_on_the_number_of_heads():
    assert type(levit.load_checkpoint(TINY / "transformers-single")) is levit.LevitForImageClassification
    backbone = levit.LevitModel.from_pretrained(TINY / "transformers")
    checkpoint = levit.read_checkpoint(TINY / "transformers")
    for loaded in (
        levit.load_checkpoint(checkpoint_from_model(backbone)),
        levit.load_checkpoint(checkpoint, num_labels=0, drop_path_rate=0.2),
    ):
        assert type(loaded) is levit.LevitModel
        with torch.no_grad():
            assert torch.equal(loaded(IMAGES).pooler_output, backbone(IMAGES).pooler_output)
    assert loaded.config.drop_path_rate == 0.2


@torch.no_grad()
def test_another_number_of_classes_initializes_new_heads_with_a_warning():
    with pytest.warns(levit.LevitWarning, match="2 heads for 3 classes instead of 10, newly initialized"):
        model = levit.load_checkpoint(TINY / "facebook.pth", num_labels=3)
    output = model(IMAGES, output_hidden_states=True)
    assert output.logits.shape == (2, 3)
    assert agrees(output.hidden_states[-1], EXPECTED["last_hidden_state"])
    assert 0.01 < model.classifier.linear.weight.std() < 0.03


def test_labels_and_activation_are_loaded():
    checkpoint = random_checkpoint(TIMM_VARIANTS["levit-256d"].architecture(num_labels=2))
    model = levit.load_checkpoint(checkpoint)
    assert model.config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert model.config.activation == "silu"


def test_a_checkpoint_without_heads_is_loaded_with_a_new_head_and_a_warning():
    checkpoint = checkpoint_from_model(levit.LevitModel.from_pretrained(TINY / "transformers"))
    with pytest.warns(levit.LevitWarning, match="1 head for 3 classes"):
        model = levit.load_checkpoint(checkpoint, num_labels=3)
    assert model(IMAGES).logits.shape == (2, 3)


def test_a_new_head_may_have_as_many_classes_as_the_configuration_without_a_head():
    backbone = levit.LevitModel.from_pretrained(TINY / "transformers")
    with pytest.warns(levit.LevitWarning, match="1 head for 10 classes instead of none, newly initialized"):
        model = levit.load_checkpoint(checkpoint_from_model(backbone), num_labels=10)
    assert model(IMAGES).logits.shape == (2, 10)


def test_invalid_arguments_are_named_in_the_error():
    with pytest.raises(levit.ConfigError, match=r"^num_labels: -1 is invalid: use at least 0$"):
        levit.load_checkpoint(TINY / "timm", num_labels=-1)
    with pytest.raises(levit.ConfigError, match=r"^drop_path_rate: 1\.0 is invalid"):
        levit.load_checkpoint(TINY / "timm", drop_path_rate=1.0)
    with pytest.raises(TypeError, match="activation: not accepted together with a checkpoint that was read already"):
        levit.load_checkpoint(levit.read_checkpoint(TINY / "timm"), activation="silu")
    with pytest.raises(TypeError, match="image_size: not accepted together with a checkpoint that was read already"):
        levit.load_image_processor(levit.read_checkpoint(TINY / "timm"), image_size=256)


def test_an_image_processor_that_resizes_to_one_pixel_less_is_a_warning():
    checkpoint = levit.read_checkpoint(TINY / "timm")
    changed = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, resize=127))
    with pytest.warns(levit.LevitWarning, match="^LevitImageProcessor: resize 127 becomes 126"):
        processor = levit.load_image_processor(changed)
    assert processor.size["shortest_edge"] == 111
