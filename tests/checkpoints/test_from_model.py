import shutil
import warnings

import numpy as np
import pytest
import torch
import transformers

import levit
from levit.checkpoints.from_model import checkpoint_from_model
from levit.deployment.reference import run_reference
from levit.errors import CheckpointError, LevitWarning
from levit.spec.preprocessing import Preprocessing
from tests.conftest import GOLDEN, relative

TINY = GOLDEN / "tiny" / "transformers"


@pytest.mark.parametrize("library", [levit, transformers])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_checkpoint_of_a_network_equals_its_saved_files(library, dtype):
    model = library.LevitForImageClassificationWithTeacher.from_pretrained(TINY, dtype=dtype)
    checkpoint, saved = checkpoint_from_model(model), levit.read_checkpoint(TINY)
    assert checkpoint.architecture == saved.architecture
    assert checkpoint.labels == saved.labels
    for name, array in saved.weights.items():
        expected = torch.from_numpy(array).to(dtype).float().numpy() if array.dtype == np.float32 else array
        assert np.array_equal(checkpoint.weights[name], expected), name


def test_a_later_change_of_the_network_does_not_change_the_checkpoint():
    model = levit.LevitForImageClassification.from_pretrained(GOLDEN / "tiny" / "transformers-single")
    checkpoint = checkpoint_from_model(model)
    before = checkpoint.weights["classifier.linear.bias"].copy()
    with torch.no_grad():
        model.classifier.linear.bias.add_(1)
    assert np.array_equal(checkpoint.weights["classifier.linear.bias"], before)


def test_a_network_without_files_ignores_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 500}, "do_normalize": false}')
    monkeypatch.chdir(tmp_path)
    checkpoint = checkpoint_from_model(levit.LevitForImageClassification(levit.LevitConfig(num_labels=2)))
    assert checkpoint.preprocessing.resize == 256
    assert checkpoint.source.name == "<LevitForImageClassification in memory>"


@pytest.mark.parametrize("num_labels", [None, 3])
def test_the_preprocessing_of_any_dialect_is_kept_by_a_network_that_was_loaded(num_labels):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*newly initialized")
        network = levit.load_checkpoint(GOLDEN / "tiny" / "timm", num_labels=num_labels)
    expected = levit.read_checkpoint(GOLDEN / "tiny" / "timm").preprocessing
    assert checkpoint_from_model(network).preprocessing == expected
    assert expected != Preprocessing.for_image_size(expected.crop)


def test_the_preprocessing_of_a_model_of_the_hub_is_that_in_its_cache(tmp_path, monkeypatch):
    repository = tmp_path / "models--owner--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(TINY, repository / "snapshots" / ("0" * 40))
    (repository / "snapshots" / ("0" * 40) / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5]}')
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(TINY)
    model.config.name_or_path = "owner/tiny"
    assert checkpoint_from_model(model).preprocessing.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("origin", ["owner/absent", "/moved/folder", "a folder"])
def test_the_default_preprocessing_of_a_network_that_was_loaded_is_a_warning(origin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(TINY)
    model.config.name_or_path = origin
    with pytest.warns(
        LevitWarning, match=f"^{origin}: no preprocessor_config.json there .*: load the network with levit"
    ):
        checkpoint = checkpoint_from_model(model)
    size = checkpoint.architecture.image_height_width
    assert checkpoint.preprocessing == Preprocessing.for_image_size(size)


def test_another_network_is_an_error():
    model = torch.nn.Linear(2, 2)
    model.config = levit.LevitConfig()
    with pytest.raises(levit.CheckpointError, match="not the keys of a LeViT"):
        checkpoint_from_model(model)


class PeftModel(torch.nn.Module):
    """Model with the interface of peft, which is not installed here."""

    def __init__(self, network):
        super().__init__()
        self.base_model = torch.nn.ModuleDict({"model": network})
        self.config = network.config

    def merge_and_unload(self):
        return self.base_model["model"]


def test_the_adapters_of_a_peft_model_must_be_merged_first():
    model = PeftModel(levit.LevitForImageClassification.from_pretrained(GOLDEN / "tiny" / "transformers-single"))
    with pytest.raises(CheckpointError, match=r"PeftModel has adapters of peft .*model\.merge_and_unload\(\)"):
        checkpoint_from_model(model)
    assert checkpoint_from_model(model.merge_and_unload()).architecture.num_classifiers == 1


def test_adapters_inside_a_network_are_found_by_their_weights():
    model = levit.LevitForImageClassification.from_pretrained(GOLDEN / "tiny" / "transformers-single")
    model.classifier.linear.lora_A = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match="merge_and_unload"):
        checkpoint_from_model(model)


@pytest.mark.parametrize(("name", "activation"), [("levit_128s", "hardswish"), ("levit_conv_384_s8", "silu")])
def test_a_network_of_timm_has_the_preprocessing_of_its_settings(name, activation):
    timm = pytest.importorskip("timm")
    values = {"num_classes": 3, "img_size": 64, "embed_dim": (16, 24, 32), "key_dim": 4, "depth": (1, 1, 1)}
    settings = {"mean": (0.5, 0.5, 0.5), "crop_pct": 0.5}
    network = timm.create_model(name, **values, pretrained_cfg_overlay=settings)
    checkpoint = checkpoint_from_model(network)
    architecture, preprocessing = checkpoint.architecture, checkpoint.preprocessing
    assert (architecture.image_size, architecture.activation, architecture.num_labels) == ((64, 64), activation, 3)
    assert (preprocessing.resize, preprocessing.crop, preprocessing.mean) == (128, (64, 64), (0.5, 0.5, 0.5))
    assert checkpoint.source.name == f"<{type(network).__name__} in memory>"
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.eval()(images)
    assert relative(run_reference(checkpoint.weights, architecture, images.numpy())["logits"], expected.numpy()) < 1e-4


def test_the_activation_and_the_class_names_of_a_network_of_timm_are_kept():
    timm = pytest.importorskip("timm")
    values = {"num_classes": 2, "img_size": 64, "embed_dim": (16, 24, 32), "key_dim": 4, "depth": (1, 1, 1)}
    names = {"label_names": ["cat", "dog"]}
    network = timm.create_model("levit_128s", **values, act_layer="gelu_tanh", pretrained_cfg_overlay=names)
    checkpoint = checkpoint_from_model(network)
    assert (checkpoint.architecture.activation, checkpoint.labels) == ("gelu_tanh", ("cat", "dog"))


def test_another_network_without_a_configuration_is_an_error():
    with pytest.raises(levit.CheckpointError, match=r"^Linear: not the keys of a LeViT"):
        checkpoint_from_model(torch.nn.Linear(2, 2))
