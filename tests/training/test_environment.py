"""Environment of a run: precision and experiment tracker."""

import pytest
import torch

from levit.errors import ConfigError
from levit.training import environment
from levit.training.environment import check_tracker, choose_precision


@pytest.mark.parametrize(
    ("device", "has_bfloat16", "expected"),
    [("cpu", True, "bf16"), ("cpu", False, "fp32"), ("cuda", True, "bf16"), ("cuda", False, "fp16")],
)
def test_automatic_precision_is_one_that_the_hardware_computes(monkeypatch, device, has_bfloat16, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: device == "cuda")
    monkeypatch.setattr(environment, "has_bfloat16", lambda chosen: chosen.type == device and has_bfloat16)
    assert choose_precision("auto") == expected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_another_precision_is_kept(precision):
    assert choose_precision(precision) == precision


def test_fp16_needs_a_gpu():
    with pytest.raises(ConfigError, match=r"^precision is fp16, which needs a GPU: use bf16 or fp32"):
        choose_precision("fp16")


def test_a_tracker_must_be_installed():
    check_tracker(None)
    check_tracker("json")
    with pytest.raises(ImportError, match=r"tracker no_such_tracker is not installed: pip install no_such_tracker"):
        check_tracker("no_such_tracker")
