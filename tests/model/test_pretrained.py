"""Loading, saving and weight initialization."""

import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import levit
from tests.conftest import GOLDEN
from tests.model.networks import randomized, small_config

NAMES = ("LevitForImageClassification", "LevitForImageClassificationWithTeacher", "LevitModel")


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("writer", "reader"), [(levit, transformers), (transformers, levit)])
def test_saved_networks_can_be_exchanged_with_stock_transformers(tmp_path, name, writer, reader):
    config = writer.LevitConfig(
        image_size=64, hidden_sizes=[16, 24, 32], key_dim=[4, 4, 4], depths=[1, 2, 1], num_labels=5
    )
    model = randomized(getattr(writer, name)(config))
    model.save_pretrained(tmp_path)
    loaded, report = getattr(reader, name).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(loaded(images)[0], model(images)[0])


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("variant", ["levit-128s", "levit-384"])
def test_published_networks_equal_stock_transformers(tmp_path, variant):
    network = levit.LevitForImageClassificationWithTeacher(levit.LevitConfig.from_variant(variant))
    model = randomized(network, noise=0.1)
    model.save_pretrained(tmp_path)
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(tmp_path)
    images = torch.randn(2, 3, 224, 224)
    assert torch.equal(stock(images).logits, model(images).logits)


def test_a_missing_head_is_initialized_and_all_other_weights_are_loaded():
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(GOLDEN / "tiny" / "transformers-single")
    saved = levit.read_checkpoint(GOLDEN / "tiny" / "transformers-single").weights
    for name, tensor in model.state_dict().items():
        if not name.startswith("classifier_distill"):
            assert torch.equal(tensor, torch.from_numpy(saved[name])), name
    assert 0.01 < model.classifier_distill.linear.weight.std() < 0.03
    assert not model.classifier_distill.linear.bias.any()


def test_offset_tables_are_filled_after_loading():
    """They are not part of the file, and from_pretrained builds networks on the meta device."""
    model = levit.LevitModel.from_pretrained(GOLDEN / "tiny" / "transformers")
    fresh = levit.LevitModel(model.config)
    pairs = list(zip(model.named_modules(), fresh.modules(), strict=True))
    compared = [(name, loaded, built) for (name, loaded), built in pairs if hasattr(built, "attention_bias_idxs")]
    assert compared
    for name, loaded, built in compared:
        assert torch.equal(loaded.attention_bias_idxs, built.attention_bias_idxs), name


def test_no_module_with_an_attention_bias_is_split_between_devices():
    """The bias is a parameter of the module itself, and is added to scores that its layers compute."""
    model = levit.LevitModel(levit.LevitConfig.from_variant("levit-128s"))
    names = [name for name, module in model.named_modules() if hasattr(module, "attention_biases")]
    whole = [name for name, module in model.named_modules() if type(module).__name__ in model._no_split_modules]
    assert len(names) == 11
    for name in names:
        assert any(name == parent or name.startswith(f"{parent}.") for parent in whole), name


@pytest.fixture(scope="module")
def new():
    torch.manual_seed(0)
    return levit.LevitForImageClassificationWithTeacher(levit.LevitConfig.from_variant("levit-128s"))


def test_residual_branches_are_initialized_to_zero(new):
    zero = [name for name, parameter in new.named_parameters() if "batch_norm.weight" in name and not parameter.any()]
    assert len(zero) == 20
    assert all(".module.projection." in name or ".module.linear_down." in name for name in zero)


def test_initialization_is_that_of_the_code_of_the_paper(new):
    """Standard deviations of golden/behaviours.json: 0.1077, 0.051, 0.02 and a bias of 0."""
    first = new.levit.patch_embeddings.embedding_layer_1.convolution.weight
    qkv = new.levit.encoder.stages[0].layers[0].module.queries_keys_values.linear.weight
    assert first.std().item() == pytest.approx(0.11, rel=0.1)
    assert qkv.std().item() == pytest.approx(0.051, rel=0.05)
    assert new.classifier.linear.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert new.classifier.linear.weight.abs().max() < 2
    assert not new.classifier.linear.bias.any()
    assert not any(parameter.any() for name, parameter in new.named_parameters() if "attention_biases" in name)


def test_initializer_range_applies_to_the_heads_only():
    config = levit.LevitConfig.from_variant("levit-128s", initializer_range=0.5)
    torch.manual_seed(0)
    model = levit.LevitForImageClassification(config)
    assert model.classifier.linear.weight.std().item() == pytest.approx(0.5, rel=0.05)
    assert model.levit.encoder.stages[0].layers[0].module.queries_keys_values.linear.weight.std() < 0.06


def test_another_number_of_classes_initializes_both_heads_and_loads_all_other_weights():
    folder = GOLDEN / "tiny" / "transformers"
    trained = levit.LevitForImageClassificationWithTeacher.from_pretrained(folder).state_dict()
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(
        folder, num_labels=3, ignore_mismatched_sizes=True
    )
    for name, tensor in model.state_dict().items():
        if name.endswith("classifier.linear.weight") or name.endswith("classifier_distill.linear.weight"):
            assert tensor.shape == (3, 64)
            assert 0 < tensor.std() < 0.03
        elif name.endswith("linear.bias"):
            assert not tensor.any()
        else:
            assert torch.equal(tensor, trained[name]), name


@pytest.mark.parametrize("name", NAMES)
def test_unexpected_weights_are_reported_and_only_features_ignore_heads(tmp_path, name):
    shutil.copytree(GOLDEN / "tiny" / "transformers", tmp_path / "old")
    weights = load_file(tmp_path / "old" / "model.safetensors")
    offsets = {"levit.encoder.stages.0.layers.0.module.attention_bias_idxs": torch.zeros(49, 49, dtype=torch.int64)}
    misspelled = {"classifiers.linear.bias": torch.zeros(10)}
    save_file(weights | offsets | misspelled, tmp_path / "old" / "model.safetensors", metadata={"format": "pt"})
    _, report = getattr(levit, name).from_pretrained(tmp_path / "old", output_loading_info=True)
    second_head = {key for key in weights if key.startswith("classifier_distill.")}
    assert set(report["unexpected_keys"]) == {*misspelled, *(second_head if name == NAMES[0] else ())}


def test_a_standard_deviation_of_zero_initializes_the_heads_to_zero():
    model = levit.LevitForImageClassification(small_config(initializer_range=0))
    assert not model.classifier.linear.weight.any()


def test_the_preprocessing_of_a_checkpoint_is_saved_with_its_network(tmp_path):
    model = levit.load_checkpoint(GOLDEN / "tiny" / "timm")
    model.save_pretrained(tmp_path / "saved")
    assert levit.read_checkpoint(tmp_path / "saved").preprocessing == model.preprocessing
    levit.LevitModel(small_config()).save_pretrained(tmp_path / "new")
    model.save_pretrained(tmp_path / "another process", is_main_process=False)
    assert [path.parent.name for path in tmp_path.glob("*/preprocessor_config.json")] == ["saved"]


@torch.no_grad()
def test_a_configuration_of_stock_transformers_is_converted():
    folder = GOLDEN / "tiny" / "transformers"
    config = transformers.LevitConfig.from_pretrained(folder)
    model, expected = (
        levit.LevitForImageClassificationWithTeacher.from_pretrained(folder, config=value, attn_implementation="sdpa")
        for value in (config, None)
    )
    assert isinstance(config, transformers.LevitConfig)
    assert model.config.to_dict() == expected.config.to_dict()
    assert model.config is model.levit.config
    assert model.config._attn_implementation == "sdpa"
    images = torch.randn(1, 3, 112, 112)
    assert torch.equal(model(images).logits, expected(images).logits)
    assert isinstance(levit.LevitBackbone(config).config, levit.LevitConfig)


def test_the_configuration_of_another_network_is_an_error():
    with pytest.raises(levit.ConfigError, match=r"^config: ViTConfig is not that of a LeViT: use LevitConfig$"):
        levit.LevitModel(transformers.ViTConfig())
