"""Errors that name the options which avoid them."""

from pathlib import Path

import pytest
import torch

from levit.errors import LevitError
from levit.training.failures import NonFiniteError, suggest_options

CPU = torch.device("cpu")


def raise_error(options, error):
    with suggest_options(options, 8, CPU):
        raise error


def test_a_loss_of_nan_names_the_step_and_the_options(options):
    error = NonFiniteError(float("nan"), "step 3 of epoch 1")
    match = (
        r"^the loss is nan in step 3 of epoch 1: no state was saved before it, so start again with `resume` and with "
        r"`lr=0\.05`, longer `warmup_epochs`, `clip=0\.01` or `precision=fp32`$"
    )
    with pytest.raises(LevitError, match=match):
        raise_error(options(lr=0.1), error)
    with pytest.raises(LevitError, match=r"with `lr=0\.05` or longer `warmup_epochs`$"):
        raise_error(options(lr=0.1, clip=0.02, precision="fp32"), error)


def test_a_loss_of_nan_names_the_last_finite_weights(options):
    chosen = options(lr=0.1, from_scratch=True, patch_size=8)
    last = Path(chosen.run.out) / "last"
    last.mkdir(parents=True)
    (last / "training_state.pt").touch()
    match = (
        rf": start another run with `model={last}`, `from_scratch=False`, no `patch_size` and another `out`, and with "
        r"`lr=0\.05`, longer"
    )
    with pytest.raises(LevitError, match=match):
        raise_error(chosen, NonFiniteError(float("inf"), "step 3 of epoch 1"))


def test_too_little_memory_names_the_options(options):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nOf the allocated memory")
    chosen, start = options(accumulate=2), r"^8 images at once exceed the memory of cpu: "
    with pytest.raises(LevitError, match=f"{start}start again with `resume` and with `accumulate=4` or a smaller `bat"):
        raise_error(chosen, error)
    last = Path(chosen.run.out) / "last"
    last.mkdir(parents=True)
    (last / "training_state.pt").touch()
    with pytest.raises(LevitError, match=f"{start}continue with `resume` and with `accumulate=4`$"):
        raise_error(chosen, error)


@pytest.mark.parametrize("error", [LevitError("full"), KeyboardInterrupt(), RuntimeError("bug")])
def test_other_errors_pass_unchanged(options, error):
    with pytest.raises(type(error)) as caught:
        raise_error(options(), error)
    assert caught.value is error
