"""Parity of the network with the golden outputs of the reference implementations."""

import numpy as np
import pytest
import torch
import transformers

import levit
from levit.checkpoints.dialects import FACEBOOK, TRANSFORMERS
from levit.checkpoints.key_translation import translate_keys
from tests.conftest import GOLDEN, agrees

TINY = GOLDEN / "tiny"
EXPECTED = np.load(TINY / "expected.npz")


@pytest.fixture
def model():
    return levit.LevitForImageClassificationWithTeacher.from_pretrained(TINY / "transformers")


def images(name="input.npy", dtype=torch.float32):
    return torch.from_numpy(np.load(TINY / name)).to(dtype)


@torch.no_grad()
def test_every_intermediate_output_equals_that_of_the_references(model):
    blocks = []
    for stage in model.levit.encoder.stages:
        for layer in stage.layers:
            layer.register_forward_hook(lambda module, inputs, output: blocks.append(output.flatten(1, 2)))
    output = model(images(), output_hidden_states=True)
    assert len(blocks) == 12
    for index, block in enumerate(blocks):
        assert agrees(block, EXPECTED[f"block_{index}"]), f"block {index} is the first with a difference"
    for index, state in enumerate(output.hidden_states):
        assert agrees(state, EXPECTED[f"hidden_states_{index}"])
    for name in ("logits", "cls_logits", "distillation_logits"):
        assert agrees(output[name], EXPECTED[name]), name


@torch.no_grad()
def test_every_stage_equals_stock_transformers_to_the_last_bit(model):
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(TINY / "transformers").eval()
    actual, expected = (network(images(), output_hidden_states=True) for network in (model, stock))
    pairs = [*zip(actual.hidden_states, expected.hidden_states, strict=True)]
    pairs += [(actual[name], expected[name]) for name in ("logits", "cls_logits", "distillation_logits")]
    assert all(torch.equal(*pair) for pair in pairs)


@torch.no_grad()
def test_features_equal_the_references(model):
    output = model.levit(images())
    assert agrees(output.last_hidden_state, EXPECTED["last_hidden_state"])
    assert agrees(output.pooler_output, EXPECTED["pooled_output"])


@torch.no_grad()
def test_logits_in_double_precision_equal_the_references(model):
    output = model.double()(images(dtype=torch.float64))
    for name in ("logits", "cls_logits", "distillation_logits"):
        np.testing.assert_allclose(output[name], EXPECTED[f"{name}_f64"], atol=1e-9, rtol=0)


@torch.no_grad()
def test_logits_of_one_head_equal_the_references():
    model = levit.LevitForImageClassification.from_pretrained(TINY / "transformers-single")
    assert agrees(model(images()).logits, EXPECTED["cls_logits"])


def to_facebook(names):
    """Translate canonical names to the names of gradients and statistics in the golden file."""
    return translate_keys(names, TRANSFORMERS, FACEBOOK)


@pytest.mark.parametrize(
    ("step", "file", "tolerance"), [("train6", "input_train6.npy", 1e-3), ("train", "input.npy", 1e-2)]
)
def test_a_training_step_equals_the_references(model, step, file, tolerance):
    """Logits, loss, gradients and running statistics, within the tolerances that the golden data states."""
    model.train()
    labels = torch.from_numpy(EXPECTED[f"{step}/y"])
    output = model(images(file), labels=labels)
    for name in ("cls_logits", "distillation_logits"):
        np.testing.assert_allclose(output[name].detach(), EXPECTED[f"{step}/{name}"], atol=tolerance, rtol=0)
    loss = 2 * output.loss  # the golden loss is the sum over the heads, this one their mean
    np.testing.assert_allclose(loss.item(), EXPECTED[f"{step}/loss"], atol=tolerance)
    loss.backward()
    compared = 0
    names = to_facebook(model.state_dict())
    for name, parameter in model.named_parameters():
        expected = float(EXPECTED[f"{step}/grad_norm/{names[name]}"])
        exact = float(EXPECTED[f"{step}/grad_norm_f64/{names[name]}"])
        compared += 1
        if exact < 1e-9:  # zero in exact arithmetic: the gradient is rounding noise
            assert float(parameter.grad.norm()) < 1e-3
        else:
            assert abs(float(parameter.grad.norm()) - expected) < 2 * tolerance * expected, name
    assert compared == sum(name.startswith(f"{step}/grad_norm/") for name in EXPECTED)
    for name, buffer in model.named_buffers():
        np.testing.assert_allclose(buffer, EXPECTED[f"{step}/after/{names[name]}"], atol=tolerance, err_msg=name)


@pytest.mark.slow
def test_gradients_in_double_precision_equal_the_references(model):
    model.train().double()
    output = model(images("input_train6.npy", torch.float64), labels=torch.from_numpy(EXPECTED["train6/y"]))
    (2 * output.loss).backward()
    names = to_facebook(model.state_dict())
    for name, parameter in model.named_parameters():
        expected = EXPECTED[f"train6/grad_f64/{names[name]}"]  # computed in double, stored in single precision
        np.testing.assert_allclose(parameter.grad, expected, atol=1e-6 * max(1, np.abs(expected).max()), err_msg=name)
