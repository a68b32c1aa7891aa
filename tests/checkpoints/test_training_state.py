import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

import levit
from levit.checkpoints.dialects import OFFSETS, WRITABLE
from levit.checkpoints.training_state import class_names, select_weights, unwrap
from levit.errors import CheckpointError
from tests.checkpoints.test_dialects import golden_shapes
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
def test_the_trained_weights_are_read_unless_the_average_is_asked_for(content):
    assert select_weights(content, "file") == TRAINED
    assert select_weights(content, "file", use_ema=True) == AVERAGE


# Where there is nothing else, or where the library itself puts the average in the place of the weights.
AVERAGE_FIRST = {
    "timm": {"state_dict_ema": AVERAGE, "optimizer": {}},
    "timm without a level": {"state_dict": None, "state_dict_ema": AVERAGE},
    "averaged model": {"n_averaged": 7} | under("module.", AVERAGE),
    "lightning": {"state_dict": under("net.", AVERAGE), "current_model_state": under("net.", TRAINED)},
    "mmengine": {"state_dict": AVERAGE, "ema_state_dict": {"steps": 7} | under("module.", TRAINED), "meta": {}},
    "module": {"state_dict": {"counter": 1} | under("ema.module.", AVERAGE)},
}


@pytest.mark.parametrize("content", AVERAGE_FIRST.values(), ids=AVERAGE_FIRST)
def test_the_average_is_read_where_it_stands_first(content):
    assert select_weights(content, "file") == AVERAGE
    assert select_weights(content, "file", use_ema=True) == AVERAGE


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.", "net.model."])
@pytest.mark.parametrize("dialect", [one.name for one in WRITABLE])
def test_what_training_puts_before_every_key_is_passed_over(dialect, prefix):
    shapes = golden_shapes(dialect, "levit-128s")
    assert unwrap(under(prefix, shapes)) == shapes
    assert len([key for key in shapes if not key.endswith(OFFSETS)]) == 325


def test_what_stands_beside_a_wrapped_network_is_passed_over():
    content = {"state_dict": under("model.", TRAINED) | {"loss.weight": 1}}
    assert select_weights(content, "file") == TRAINED


def test_a_file_without_an_average_says_so():
    with pytest.raises(
        CheckpointError, match=r"^x\.pth: holds no moving average .*state_dict_ema.*: leave out use_ema"
    ):
        select_weights({"model": TRAINED}, "x.pth", use_ema=True)


@pytest.mark.parametrize("content", [{}, {"model": {}}])
def test_an_empty_file_has_no_weights(content):
    assert select_weights(content, "file") == {}


def test_class_names_are_names():
    assert class_names({"meta": {"CLASSES": ["cat", 3]}}) is None
    assert class_names([1]) is None


def test_an_average_is_read_loaded_and_converted(tmp_path):
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


def test_wrappers_are_passed_over_in_safetensors_too(tmp_path):
    expected = levit.read_checkpoint(TINY / "timm")
    arrays = {f"module.{key}": array for key, array in expected.weights.items()}
    save_file(arrays, tmp_path / "model.safetensors")
    assert levit.read_checkpoint(tmp_path).weights.keys() == expected.weights.keys()
    with pytest.raises(CheckpointError, match="no moving average"):
        levit.read_checkpoint(tmp_path, use_ema=True)
