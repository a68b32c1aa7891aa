"""Environment of a run: devices, processes, precision and experiment tracker."""

from __future__ import annotations

import atexit
from datetime import timedelta
from functools import cache
from importlib.util import find_spec

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import InitProcessGroupKwargs

from levit.errors import ConfigError
from levit.model.torch_engine import has_bfloat16
from levit.training.control_group import COLLECTIVE_TIMEOUT, connect_control_group, connection_errors
from levit.training.option_groups import RunOptions


def build_accelerator(options: RunOptions, *, timeout: timedelta = COLLECTIVE_TIMEOUT) -> Accelerator:
    """Choose the devices and the precision of a run, after its processes are connected.

    Args:
        options: `precision` (not "auto"), `report_to` and `out`.
        timeout: how long a process waits for another one, which has stopped then; a later run in this process keeps it.

    Raises:
        ImportError: the experiment tracker is not installed.
        LevitError: another process does not connect.
    """
    tracker = None if options.report_to == "none" else options.report_to
    check_tracker(tracker)
    connect_processes(timeout)
    AcceleratorState._reset_state()  # an earlier run in this process may have had another precision
    return Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision="no" if options.precision == "fp32" else options.precision,
        log_with=tracker,
        project_dir=options.out,
    )


def connect_processes(timeout: timedelta = COLLECTIVE_TIMEOUT) -> PartialState:
    """Connect the processes that train together, unless they are; all processes call it at the same point.

    Args:
        timeout: as in `build_accelerator`.

    Raises:
        LevitError: another process does not connect.
    """
    with connection_errors():
        state = PartialState(
            cpu=not torch.accelerator.is_available(),  # otherwise several processes do not connect
            **InitProcessGroupKwargs(timeout=timeout).to_kwargs(),
        )
        if state.num_processes > 1:
            connect_control_group(timeout)
            _disconnect_at_exit()
    return state


def check_tracker(name: str | None) -> None:
    """Raise `ImportError` where the package of an experiment tracker is not installed."""
    if name is not None and find_spec(name) is None:
        raise ImportError(f"the experiment tracker {name} is not installed: pip install {name}")


def choose_precision(precision: str) -> str:
    """Replace "auto" by the precision that the hardware computes natively: "bf16", on CUDA also "fp16", or "fp32".

    Raises:
        ConfigError: fp16 is requested without a GPU.
    """
    if precision == "fp16" and not torch.accelerator.is_available():
        raise ConfigError("is fp16, which needs a GPU", source="precision", hint="use bf16 or fp32")
    if precision != "auto":
        return precision
    is_cuda = torch.cuda.is_available()
    if has_bfloat16(torch.device("cuda" if is_cuda else "cpu")):
        return "bf16"
    return "fp16" if is_cuda else "fp32"


@cache
def _disconnect_at_exit() -> None:
    """Disconnect when the process ends, and not before, because a script may train more than once."""
    atexit.register(PartialState().destroy_process_group)
