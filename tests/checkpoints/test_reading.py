import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import levit
from levit.checkpoints.hashing import hash_file
from levit.checkpoints.reading import read_checkpoint
from levit.errors import CheckpointError, ConfigError
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny" / "transformers"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(TINY, tmp_path / "tiny")


def rewrite(folder, name, **changes):
    config = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps({key: value for key, value in config.items() if value is not ...}))


def test_weights_configuration_and_preprocessing_are_read():
    checkpoint = levit.read_checkpoint(TINY)
    assert checkpoint.architecture.depths == (1, 2, 1)
    assert checkpoint.architecture.num_classifiers == 2
    assert checkpoint.labels[3] == "LABEL_3"
    assert checkpoint.preprocessing.resize == 128
    assert checkpoint.preprocessing.crop == (112, 112)
    assert checkpoint.source.dialect == "transformers"
    assert checkpoint.source.sha256 == hash_file(TINY / "model.safetensors")
    assert checkpoint.num_parameters == 147730
    assert checkpoint.stored_precision == "fp32"


def test_a_file_is_read_with_the_configuration_in_its_folder():
    assert read_checkpoint(TINY / "model.safetensors").architecture == read_checkpoint(TINY).architecture


def test_the_offset_tables_of_old_files_of_transformers_are_ignored():
    old, new = read_checkpoint(GOLDEN / "tiny" / "transformers-legacy"), read_checkpoint(TINY)
    assert old.architecture == new.architecture
    assert old.weights.keys() == new.weights.keys()
    assert all(np.array_equal(array, new.weights[name]) for name, array in old.weights.items())


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_widened_exactly(folder, precision):
    import torch
    from safetensors.torch import save_file as save_torch_file

    arrays = load_file(TINY / "model.safetensors")
    halves = {
        name: torch.from_numpy(array).to(getattr(torch, precision)) if array.dtype == np.float32 else torch.tensor(11)
        for name, array in arrays.items()
    }
    save_torch_file(halves, folder / "model.safetensors")
    checkpoint = read_checkpoint(folder)
    assert checkpoint.stored_precision == {"float16": "fp16", "bfloat16": "bf16"}[precision]
    for name, tensor in halves.items():
        assert np.array_equal(checkpoint.weights[name], tensor.float().numpy()), name
    assert checkpoint.weights["classifier.linear.weight"].dtype == np.float32


def test_a_backbone_alone_is_read(folder):
    arrays = load_file(TINY / "model.safetensors")
    backbone = {name.removeprefix("levit."): array for name, array in arrays.items() if name.startswith("levit.")}
    save_file(backbone, folder / "model.safetensors")
    checkpoint = read_checkpoint(folder)
    assert checkpoint.architecture.num_classifiers == 0
    assert set(checkpoint.weights) == {name for name in arrays if name.startswith("levit.")}


def test_without_a_configuration_the_architecture_is_inferred_from_the_shapes(tmp_path):
    shutil.copy(TINY / "model.safetensors", tmp_path)
    checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.architecture == read_checkpoint(TINY).architecture
    assert checkpoint.preprocessing.crop == (112, 112)


def test_labels_are_in_the_order_of_their_indices(folder):
    rewrite(folder, "config.json", id2label={str(number): f"class {number}" for number in reversed(range(10))})
    assert read_checkpoint(folder).labels[9] == "class 9"


def test_missing_unexpected_and_mis_shaped_weights_are_counted_and_named(folder):
    arrays = load_file(TINY / "model.safetensors")
    for stage in (0, 1, 2):
        arrays.pop(f"levit.encoder.stages.{stage}.layers.0.module.queries_keys_values.batch_norm.bias")
    arrays.pop("classifier.linear.bias")
    arrays["classifier.extra"] = np.zeros(1, np.float32)
    arrays["classifier.linear.weight"] = np.zeros((7, 64), np.float32)
    save_file(arrays, folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "4 missing (levit.encoder.stages.0" in message
    assert "…" in message
    assert "1 unexpected (classifier.extra)" in message
    assert "1 mis-shaped (classifier.linear.weight is [7, 64], not [10, 64])" in message


@pytest.mark.parametrize("size", [0, 5, 100, 100_000])
def test_a_truncated_file_is_an_error_of_one_line(folder, size):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: not a safetensors file, or truncated") as caught:
        read_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_network_are_an_error(tmp_path):
    save_file({"bert.embeddings.weight": np.zeros((2, 2), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"not the keys of a LeViT.*bert\.embeddings\.weight"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("nowhere", "no such file, folder or known model name"),
        (".", r"not a PyTorch file, or truncated"),
    ],
)
def test_a_wrong_path_is_an_error_with_a_hint(tmp_path, monkeypatch, path, match):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=match):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("file", "changes", "error", "match"),
    [
        ("config.json", {"depths": [1, 2]}, ConfigError, "depths: 2 entries"),
        ("config.json", {"model_type": "vit"}, ConfigError, "'vit'"),
        ("config.json", {"down_ops": [["Conv", 1]]}, ConfigError, "down_ops"),
        ("config.json", {"id2label": {"1": "a"}}, ConfigError, "id2label"),
        ("config.json", {"id2label": {"0": "a"}}, CheckpointError, "mis-shaped"),
        ("config.json", {"drop_path_rate": None}, ConfigError, "drop_path_rate"),
        ("config.json", {"initializer_range": "x"}, ConfigError, "initializer_range"),
        ("config.json", {"image_size": None}, ConfigError, "image_size"),
        ("config.json", {"id2label": None, "num_labels": "x"}, ConfigError, "num_labels"),
        ("config.json", {"down_ops": [1, 2]}, ConfigError, "down_ops"),
        ("preprocessor_config.json", {"image_mean": None}, ConfigError, "image_mean"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5]}, ConfigError, "std: "),
        ("preprocessor_config.json", {"size": {"shortest_edge": -5}}, ConfigError, "resize"),
        ("preprocessor_config.json", {"crop_size": "big"}, ConfigError, "crop_size"),
        ("preprocessor_config.json", {"resample": 17}, ConfigError, "resample"),
    ],
)
def test_an_invalid_field_of_a_configuration_is_named(folder, file, changes, error, match):
    rewrite(folder, file, **changes)
    with pytest.raises(error, match=match):
        read_checkpoint(folder)


def test_the_source_of_an_error_is_the_checkpoint_and_the_field(folder):
    rewrite(folder, "config.json", depths=[1, 2])
    with pytest.raises(ConfigError) as caught:
        read_checkpoint(folder)
    assert caught.value.source == f"{folder}: depths"
    assert caught.value.reason == "2 entries, but hidden_sizes has 3"
    assert caught.value.hint == "give one value per stage"


@pytest.mark.parametrize("content", ["{", "[]", "\xff"])
def test_a_damaged_configuration_file_is_named(folder, content):
    (folder / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"config\.json"):
        read_checkpoint(folder)


def test_both_documented_spellings_of_the_ratios_are_read(folder):
    rewrite(folder, "config.json", mlp_ratio=..., mlp_ratios=[2, 2, 2])
    assert read_checkpoint(folder).architecture.mlp_ratio == (2, 2, 2)
    rewrite(folder, "config.json", mlp_ratios=[4, 4, 4])
    with pytest.raises(CheckpointError, match="mis-shaped"):
        read_checkpoint(folder)


def test_empty_entries_in_down_ops_are_ignored(folder):
    operations = json.loads((folder / "config.json").read_text())["down_ops"]
    rewrite(folder, "config.json", down_ops=[*operations, [""], [""]])
    assert read_checkpoint(folder).architecture == read_checkpoint(TINY).architecture


def test_1000_classes_without_names_are_those_of_imagenet(tmp_path):
    from levit.spec.variants import VARIANTS
    from tests.conftest import random_weights

    save_file(random_weights(VARIANTS["levit-128s"].architecture()), tmp_path / "model.safetensors")
    assert read_checkpoint(tmp_path).labels[967] == "espresso"


def test_activation_and_image_size_can_be_given(tmp_path):
    shutil.copy(TINY / "model.safetensors", tmp_path)
    checkpoint = read_checkpoint(tmp_path, activation="silu", image_size=(110, 105))
    assert checkpoint.architecture.activation == "silu"
    assert checkpoint.architecture.image_height_width == (110, 105)
    with pytest.raises(ConfigError, match="image_size: 64 gives 4x4 tokens, but the weights are for 49"):
        read_checkpoint(tmp_path, image_size=64)


@pytest.mark.parametrize("dtype", [np.complex64, np.int8, np.bool_])
def test_weights_of_another_type_are_an_error(folder, dtype):
    arrays = load_file(TINY / "model.safetensors")
    if dtype is np.complex64:
        pytest.importorskip("safetensors", minversion="0.6")
    arrays["classifier.linear.bias"] = arrays["classifier.linear.bias"].astype(dtype)
    save_file(arrays, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"classifier.linear.bias is of type {np.dtype(dtype).name}"):
        read_checkpoint(folder)


def test_a_negative_variance_is_an_error(folder):
    arrays = load_file(TINY / "model.safetensors")
    arrays["classifier.batch_norm.running_var"][0] = -1
    save_file(arrays, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 negative \(classifier\.batch_norm\.running_var\)"):
        read_checkpoint(folder)


def test_arguments_take_precedence_over_the_configuration(folder):
    assert read_checkpoint(folder, activation="silu").architecture.activation == "silu"
    assert read_checkpoint(folder, image_size=(110, 105)).architecture.image_height_width == (110, 105)
    with pytest.raises(ConfigError, match="activation: unknown value 'bogus'"):
        read_checkpoint(folder, activation="bogus")


def test_a_3x3_convolution_instead_of_a_linear_layer_is_an_error(tmp_path):
    import torch

    content = torch.load(GOLDEN / "tiny" / "facebook-conv.pth", weights_only=True)
    weight = content["model"]["blocks.0.m.qkv.c.weight"]
    content["model"]["blocks.0.m.qkv.c.weight"] = weight.expand(-1, -1, 3, 3).clone()
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"x\.pth"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"depths": ' * 50_000, "9" * 5000, '{"depths": ' + "9" * 5000 + "}"])
def test_nested_json_and_endless_numbers_are_an_error_of_one_line(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read as JSON") as caught:
        read_checkpoint(folder)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["a\0b", "a\0b.pth", "a" * 5000])
def test_a_path_that_no_file_can_have_is_an_error(tmp_path, name):
    with pytest.raises(CheckpointError, match="no such file, folder or known model name"):
        read_checkpoint(name)
    with pytest.raises(CheckpointError):
        levit.convert(TINY, str(tmp_path / name), to="timm")
