"""Errors of a run that other options avoid: a loss that is not finite, and too little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from levit.errors import LevitError
from levit.training.options import TrainingOptions
from levit.training.run_state import has_state, new_run_hint


class NonFiniteError(Exception):
    """A loss or a weight is infinite or NaN.

    Args:
        value: the loss.
        where: the step or validation in which it occurred.
    """

    def __init__(self, value: float, where: str) -> None:
        super().__init__(f"the loss is {value} in {where}")


@contextmanager
def suggest_options(options: TrainingOptions, microbatch_size: int, device: torch.device) -> Iterator[None]:
    """Replace errors that other options avoid by errors that name these options.

    Raises:
        LevitError: the loss is not finite, or the memory of the device does not suffice.
    """
    try:
        yield
    except NonFiniteError as error:
        raise LevitError(str(error), hint=_restart_hint(options)) from error
    except torch.OutOfMemoryError as error:
        reason = f"{microbatch_size} images at once exceed the memory of {device}"
        raise LevitError(reason, hint=_memory_hint(options)) from error


def _memory_hint(options: TrainingOptions) -> str:
    """Hint to continue with fewer images at once."""
    fewer = f"`accumulate={2 * options.optimizer.accumulate}`"
    if not has_state(Path(options.run.out)):
        return f"start again with `resume` and with {fewer} or a smaller `batch_size`"
    return f"continue with `resume` and with {fewer}"


def _restart_hint(options: TrainingOptions) -> str:
    """Hint to continue with a lower learning rate, longer warm-up, clipping or fp32."""
    changes = [f"`lr={options.schedule.lr / 2:g}`", "longer `warmup_epochs`"]
    changes += ["`clip=0.01`"] * (not options.optimizer.clip)
    changes += ["`precision=fp32`"] * (options.run.precision != "fp32")
    alternatives = f"{', '.join(changes[:-1])} or {changes[-1]}"
    run = Path(options.run.out)
    if not has_state(run):
        return f"no state was saved before it, so start again with `resume` and with {alternatives}"
    return f"{new_run_hint(run, options.model)}, and with {alternatives}"
