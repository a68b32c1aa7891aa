import re

import numpy as np
import pytest
import torch

import levit
from tests.conftest import GOLDEN, agrees
from tests.model.networks import randomized, small_config

TINY = GOLDEN / "tiny"
EXPECTED = np.load(TINY / "expected.npz")
IMAGES = torch.from_numpy(np.load(TINY / "input.npy"))


def open_tiny(**options):
    return levit.LevitForImageClassificationWithTeacher.from_pretrained(TINY / "transformers", **options)


@torch.no_grad()
def test_sdpa_computes_the_golden_logits_in_double_precision():
    model = open_tiny(attn_implementation="sdpa").double()
    assert model.config._attn_implementation == "sdpa"
    np.testing.assert_allclose(model(IMAGES.double()).logits, EXPECTED["logits_f64"], atol=1e-9, rtol=0)


@torch.no_grad()
def test_sdpa_calls_the_fused_function_of_torch(monkeypatch):
    calls = []
    original = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, **options: calls.append(1) or original(*args, **options),
    )
    open_tiny()(IMAGES)
    assert not calls
    open_tiny(attn_implementation="sdpa")(IMAGES)
    assert len(calls) == 6


@torch.no_grad()
def test_the_implementation_can_be_changed_after_loading():
    model = open_tiny()
    assert model.config._attn_implementation == "eager"
    eager = model(IMAGES).logits
    model.set_attn_implementation("sdpa")
    np.testing.assert_allclose(model(IMAGES).logits, eager, atol=1e-4)
    model.set_attn_implementation("eager")
    assert torch.equal(model(IMAGES).logits, eager)


def test_an_implementation_that_only_transformers_has_is_refused_before_the_first_image():
    message = "attn_implementation: 'paged|eager' is not supported: use 'eager' or 'sdpa'"
    with pytest.raises(levit.ConfigError, match=f"^{re.escape(message)}$"):
        levit.LevitModel(small_config(attn_implementation="paged|eager"))


@pytest.mark.parametrize("name", ["flex", "flex_attention"])
def test_an_unknown_implementation_is_refused_as_by_transformers(name):
    with pytest.raises(ValueError, match=r"is not supported|does not support"):
        levit.LevitModel(small_config(attn_implementation=name))


@torch.no_grad()
def test_attentions_are_returned_with_sdpa():
    output = open_tiny(attn_implementation="sdpa")(IMAGES, output_attentions=True)
    assert torch.equal(output.attentions[0], open_tiny()(IMAGES, output_attentions=True).attentions[0])
    assert agrees(output.logits, EXPECTED["logits"])


def test_gradients_of_both_implementations_are_equal():
    model = randomized(levit.LevitForImageClassification(small_config(attn_implementation="eager"))).double()
    images = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    gradients = {}
    for name in ("eager", "sdpa"):
        model.zero_grad()
        model.set_attn_implementation(name)
        model(images).logits.square().sum().backward()
        gradients[name] = [parameter.grad.clone() for parameter in model.parameters()]
    for expected, actual in zip(gradients["eager"], gradients["sdpa"], strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close_to_single_precision(implementation, dtype):
    model = randomized(levit.LevitForImageClassification(small_config(attn_implementation=implementation)))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = model(images).logits
        half = model.to(dtype)(images.to(dtype)).logits
    assert half.dtype == dtype
    scale = expected.abs().max()
    assert (half.float() - expected).abs().max() / scale < (0.02 if dtype == torch.float16 else 0.1)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_the_network_trains_under_autocast(implementation):
    model = levit.LevitForImageClassificationWithTeacher(small_config(attn_implementation=implementation)).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(torch.randn(4, 3, 64, 64), labels=torch.tensor([0, 1, 0, 1])).loss
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())
