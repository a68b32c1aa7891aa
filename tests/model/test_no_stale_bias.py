"""The attention bias is never stale: one test per way in which the reference implementations use an old bias."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import levit
from tests.conftest import GOLDEN


@pytest.fixture
def model():
    return levit.LevitForImageClassificationWithTeacher.from_pretrained(GOLDEN / "tiny" / "transformers")


@pytest.fixture
def other(model):
    """The same network with other attention biases."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in changed.named_parameters():
            if "attention_biases" in name:
                parameter.add_(torch.randn_like(parameter))
    return changed


IMAGES = torch.from_numpy(np.load(GOLDEN / "tiny" / "input.npy"))


@torch.no_grad()
def test_load_state_dict_in_evaluation_mode_changes_the_biases(model, other):
    before = model(IMAGES).logits
    model.load_state_dict(other.state_dict())
    assert torch.equal(model(IMAGES).logits, other(IMAGES).logits)
    assert not torch.equal(model(IMAGES).logits, before)


@torch.no_grad()
def test_a_moving_average_in_evaluation_mode_uses_the_averaged_biases(model, other):
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5)).eval()
    average.update_parameters(model)
    average(IMAGES)
    average.update_parameters(other)
    expected = copy.deepcopy(model)
    for parameter, changed in zip(expected.parameters(), other.parameters(), strict=True):
        parameter.lerp_(changed, 0.5)
    torch.testing.assert_close(average(IMAGES).logits, expected(IMAGES).logits)


@torch.no_grad()
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_have_independent_biases(model, clone):
    before = model(IMAGES).logits
    copied = clone(model)
    assert torch.equal(copied(IMAGES).logits, before)
    copied.levit.encoder.stages[0].layers[0].module.attention_biases.zero_()
    assert not torch.equal(copied(IMAGES).logits, before)
    assert torch.equal(model(IMAGES).logits, before)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_can_be_changed_after_a_forward_pass(model, dtype):
    expected = model(IMAGES).logits
    logits = model.to(dtype)(IMAGES.to(dtype)).logits
    assert logits.dtype == dtype
    # These weights amplify rounding on purpose: golden/README.md states 0.07 for float16, 0.63 for bfloat16.
    torch.testing.assert_close(logits.float(), expected, atol=1.5 if dtype == torch.bfloat16 else 0.2, rtol=0)


def test_biases_receive_gradients_in_evaluation_mode(model):
    with torch.no_grad():
        model(IMAGES)
    model(IMAGES).logits.sum().backward()
    biases = [parameter for name, parameter in model.named_parameters() if "attention_biases" in name]
    assert len(biases) == 6
    assert all(parameter.grad.abs().sum() > 0 for parameter in biases)


@torch.no_grad()
def test_an_assignment_in_evaluation_mode_changes_the_logits(model):
    before = model(IMAGES).logits
    model.levit.encoder.stages[1].layers[0].module.attention_biases.copy_(torch.zeros(3, 16))
    assert not torch.equal(model(IMAGES).logits, before)


def test_train_and_eval_return_the_module(model):
    for module in model.modules():
        assert module.train() is module
        assert module.eval() is module
