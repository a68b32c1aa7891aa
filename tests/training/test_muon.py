"""Muon with orthogonalization in float32."""

import pytest
import timm.optim.muon
import torch
from timm.optim import Muon
from torch import nn

from levit.training import optimizer as optimizer_module
from levit.training.muon import Float32Muon
from levit.training.optimizer import build_optimizer
from levit.training.option_groups import OptimizerOptions

ORTHOGONALIZE = timm.optim.muon.zeropower_via_newtonschulz


def updated(kind, parameter):
    """The parameter after one step with its gradient."""
    copy = nn.Parameter(parameter.detach().clone())
    copy.grad = parameter.grad.clone()
    kind([{"params": [copy], "use_fallback": False}], lr=0.1, nesterov=True).step()
    return copy.detach()


@pytest.fixture
def parameter():
    generator = torch.Generator().manual_seed(0)
    parameter = nn.Parameter(torch.randn(12, 20, generator=generator))
    parameter.grad = torch.randn(12, 20, generator=generator)
    return parameter


def test_steps_are_those_of_timm_up_to_the_precision_of_bfloat16(parameter):
    exact, rounded = updated(Float32Muon, parameter), updated(Muon, parameter)
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(exact, rounded, rtol=0, atol=2e-3)


def test_an_update_is_orthogonalized_in_float32(parameter):
    update = parameter.grad.lerp(parameter.grad * 0.05, 0.95)  # Nesterov momentum of the first step
    coefficients = timm.optim.muon.resolve_ns_coefficients("quintic", timm.optim.muon._COEFFICIENTS)
    orthogonal = ORTHOGONALIZE(update, 5, coefficients, dtype=torch.float32)
    expected = parameter - 0.1 * 0.2 * 20**0.5 * orthogonal
    torch.testing.assert_close(updated(Float32Muon, parameter), expected.detach(), rtol=0, atol=1e-6)


def test_the_function_of_timm_is_restored_also_after_an_error(parameter):
    updated(Float32Muon, parameter)
    assert timm.optim.muon.zeropower_via_newtonschulz is ORTHOGONALIZE

    def closure():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Float32Muon([parameter], lr=0.1).step(closure)
    assert timm.optim.muon.zeropower_via_newtonschulz is ORTHOGONALIZE


@pytest.mark.parametrize(("has_bfloat16", "kind"), [(True, Muon), (False, Float32Muon)])
def test_devices_with_bfloat16_products_use_the_optimizer_of_timm(monkeypatch, has_bfloat16, kind):
    monkeypatch.setattr(optimizer_module, "has_bfloat16", lambda device: has_bfloat16)
    optimizer = build_optimizer(nn.Linear(4, 4), OptimizerOptions(optimizer="muon"), lr=0.1)
    assert type(optimizer) is kind
