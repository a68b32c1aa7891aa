import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import levit
from levit.checkpoints.dialects import OFFSETS, WRITABLE
from levit.checkpoints.weight_selection import class_names, select_weights, strip_prefixes
from levit.errors import CheckpointError
from tests.checkpoints.golden_keys import golden_shapes
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny"
TRAINED = {"stem.weight": 1, "head.weight": 2, "head.bias": 3}
AVERAGE = {key: 10 * value for key, value in TRAINED.items()}


def under(prefix, weights):
    return {prefix + key: value for key, value in weights.items()}


BOTH = {
    "facebook": {"model": TRAINED, "model_ema": AVERAGE, "epoch": 3},
    "timm": {"state_dict": TRAINED, "state_dict_ema": AVERAGE, "arch": "levit"},
    "a script": {"model_state_dict": TRAINED, "ema_state_dict": AVERAGE},
    "averaged model": {"model": under("module.", TRAINED), "model_ema": {"n_averaged": 7} | under("module.", AVERAGE)},
    "compiled and distributed": {"model": under("_orig_mod.module.", TRAINED), "model_ema": under("module.", AVERAGE)},
    "lightning": {
        "state_dict": under("model.", TRAINED) | under("ema_model.module.", AVERAGE) | {"ema_model.n_averaged": 7}
    },
    "one mapping": TRAINED | under("model_ema.module.", AVERAGE),
}


@pytest.mark.parametrize("content", BOTH.values(), ids=BOTH)
def test_the_average_is_selected_only_with_use_ema(content):
    assert select_weights(content, "file") == TRAINED
    assert select_weights(content, "file", use_ema=True) == AVERAGE


# Files that contain only the average, or of libraries that store the average as the weights.
ONLY_AVERAGE = {
    "timm": {"state_dict_ema": AVERAGE, "optimizer": {}},
    "timm without a level": {"state_dict": None, "state_dict_ema": AVERAGE},
    "averaged model": {"n_averaged": 7} | under("module.", AVERAGE),
    "lightning": {"state_dict": under("net.", AVERAGE), "current_model_state": under("net.", TRAINED)},
    "mmengine": {"state_dict": AVERAGE, "ema_state_dict": {"steps": 7} | under("module.", TRAINED), "meta": {}},
    "module": {"state_dict": {"counter": 1} | under("ema.module.", AVERAGE)},
}


@pytest.mark.parametrize("content", ONLY_AVERAGE.values(), ids=ONLY_AVERAGE)
def test_the_average_is_selected_if_it_replaces_the_weights(content):
    assert select_weights(content, "file") == AVERAGE
    assert select_weights(content, "file", use_ema=True) == AVERAGE


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.", "net.model."])
@pytest.mark.parametrize("dialect", [dialect.name for dialect in WRITABLE])
def test_prefixes_of_all_keys_are_removed(dialect, prefix):
    shapes = golden_shapes(dialect, "levit-128s")
    assert strip_prefixes(under(prefix, shapes)) == shapes
    counts = 52 if dialect.startswith("mindspore") else 0  # it has no numbers of batches
    assert len([key for key in shapes if not key.endswith(OFFSETS)]) == 325 - counts


def test_weights_next_to_a_wrapped_network_are_ignored():
    content = {"state_dict": under("model.", TRAINED) | {"loss.weight": 1}}
    assert select_weights(content, "file") == TRAINED


def test_use_ema_without_an_average_is_an_error():
    with pytest.raises(CheckpointError, match=r"^x\.pth: no moving average .*state_dict_ema.*: omit `use_ema`"):
        select_weights({"model": TRAINED}, "x.pth", use_ema=True)


@pytest.mark.parametrize("content", [{}, {"model": {}}])
def test_empty_content_has_no_weights(content):
    assert select_weights(content, "file") == {}


def test_only_lists_of_strings_are_class_names():
    assert class_names({"meta": {"CLASSES": ["cat", 3]}}) is None
    assert class_names([1]) is None


def test_use_ema_reads_loads_and_converts_the_average(tmp_path):
    model = torch.load(TINY / "facebook.pth", weights_only=True)["model"]
    average = {key: tensor * 2 if tensor.is_floating_point() else tensor for key, tensor in model.items()}
    file = tmp_path / "checkpoint.pth"
    torch.save({"model": model, "model_ema": under("module.", average)}, file)
    trained, averaged = levit.read_checkpoint(file), levit.read_checkpoint(file, use_ema=True)
    name = "classifier.linear.weight"
    assert np.array_equal(averaged.weights[name], 2 * trained.weights[name])
    assert np.array_equal(levit.load_checkpoint(file, use_ema=True).state_dict()[name], averaged.weights[name])
    converted = levit.convert(file, tmp_path / "timm", to="timm", use_ema=True)
    assert np.array_equal(levit.read_checkpoint(converted).weights[name], averaged.weights[name])


def test_prefixes_in_safetensors_are_removed(tmp_path):
    expected = levit.read_checkpoint(TINY / "timm")
    arrays = {f"module.{key}": array for key, array in expected.weights.items()}
    save_file(arrays, tmp_path / "model.safetensors")
    assert levit.read_checkpoint(tmp_path).weights.keys() == expected.weights.keys()
    with pytest.raises(CheckpointError, match="no moving average"):
        levit.read_checkpoint(tmp_path, use_ema=True)


def test_a_key_that_is_not_text_beside_the_names_of_mindspore_is_text():
    assert select_weights({1: 5, "a.moving_mean": 6}, "file") == {"a.moving_mean": 6}
