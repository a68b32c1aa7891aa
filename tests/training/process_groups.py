"""Training in processes that can be killed, alone or as a group that trains together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import islice
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore

from levit.errors import LevitError
from levit.training import run_state
from levit.training.build_loop import build_training_loop
from levit.training.callbacks import Callback, StepReport
from levit.training.datasets import open_training_data
from levit.training.environment import build_accelerator
from levit.training.options import TrainingOptions
from levit.training.output_directory import lock_run_directory
from levit.training.progress import Progress
from levit.training.train import run_training

FAILURE = 7  # exit code of a process that ends with a `LevitError`
TIMEOUT = 120  # seconds; a process that needs more hangs

_stores: list[TCPStore] = []  # where the processes of a group find each other, as long as they run


class KillAt(Callback):
    """SIGKILL to this process at the first call of a hook, or after a number of steps."""

    def __init__(self, hook: str, steps: int = 1) -> None:
        self._hook, self._remaining = hook, steps

    def _kill_at(self, hook: str) -> None:
        if hook == self._hook:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_start(self, progress: Progress) -> None:
        self._kill_at("train_start")

    def on_step(self, report: StepReport) -> None:
        self._remaining -= 1
        if self._remaining == 0:
            self._kill_at("step")

    def on_validation_start(self, progress: Progress) -> None:
        self._kill_at("validation_start")

    def on_checkpoint(self, progress: Progress) -> None:
        self._kill_at("checkpoint")

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        self._kill_at("epoch_end")


class KillInSave(Callback):
    """SIGKILL to this process while it writes a state of the run, after half of the file.

    Args:
        number: number of the save, from 1.
    """

    def __init__(self, number: int) -> None:
        self._remaining = number

    def on_train_start(self, progress: Progress) -> None:
        write = run_state._write_state

        def write_half(file: Path, state: run_state.RunState) -> None:
            write(file, state)
            self._remaining -= 1
            if self._remaining == 0:
                os.truncate(file, file.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        run_state._write_state = write_half  # this process ends with the run


class SignalAfterStep(Callback):
    """SIGTERM, twice, to this process after its first step: Slurm sends it to torchrun and to its processes."""

    def on_step(self, report: StepReport) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)


class KillFirst(KillAt):
    """SIGKILL to the first process at the first call of a hook, or after a number of steps."""

    def _kill_at(self, hook: str) -> None:
        if os.environ["RANK"] == "0":
            super()._kill_at(hook)


class Blocked:
    """Batches, of which one never arrives; a file is created when it is waited for.

    Args:
        batches: the batches.
        count: number of batches that arrive.
        file: the file.
    """

    def __init__(self, batches: Iterable[Any], count: int, file: Path) -> None:
        self._batches, self._count, self._file = batches, count, file

    def __iter__(self) -> Iterator[Any]:
        yield from islice(self._batches, self._count)
        self._file.touch()
        threading.Event().wait()


def start(
    context: BaseContext, options: TrainingOptions, callbacks: Sequence[Callback] = (), *, count: int = 1
) -> list[BaseProcess]:
    """Start processes that train together, with the environment that torchrun gives them."""
    return start_group(context, _train, (options, callbacks), count=count)


def start_group(
    context: BaseContext, target: Callable[..., None], arguments: tuple[Any, ...], *, count: int
) -> list[BaseProcess]:
    """Start processes that call a function of a module, with the environment that torchrun gives them."""
    environment: dict[str, str] = {}
    if count > 1:
        store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        _stores.append(store)
        environment = {
            "MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
            "TORCHELASTIC_RESTART_COUNT": "0", "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        }  # fmt: skip
    processes = []
    for rank in range(count):
        of_rank = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}
        process = context.Process(target=_call, args=(target, arguments, environment | of_rank))  # type: ignore[attr-defined]
        process.start()
        processes.append(process)
    return processes


def wait(processes: Sequence[BaseProcess]) -> list[int | None]:
    """Exit codes of processes; those that hang are killed."""
    for process in processes:
        process.join(TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join()
    return [process.exitcode for process in processes]


def train_together(
    context: BaseContext, options: TrainingOptions, callbacks: Sequence[Callback] = (), *, count: int = 2
) -> None:
    """Train in several processes, and check that all of them end without an error."""
    assert wait(start(context, options, callbacks, count=count)) == [0] * count


def train_blocked(options: TrainingOptions, field: str, count: int, file: Path) -> None:
    """Train, where a batch of the first process never arrives.

    Args:
        options: options of the run.
        field: "batches" of the loop, or its "validator".
        count: number of batches that arrive.
        file: a file that is created when the next one is waited for.
    """
    accelerator = build_accelerator(options.run)
    is_first = accelerator.is_main_process
    with lock_run_directory(options) if is_first else nullcontext():
        loop = build_training_loop(options, open_training_data(options.data), accelerator)
        if is_first and field == "batches":
            loop.batches = Blocked(loop.batches, count, file)
        elif is_first:
            loop.validator = replace(loop.validator, batches=Blocked(loop.validator.batches, count, file))
        assert not loop.run()


def _call(target: Callable[..., None], arguments: tuple[Any, ...], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.accelerator.is_available = lambda: False  # as in the process of the tests
    torch.set_num_threads(1)
    target(*arguments)


def _train(options: TrainingOptions, callbacks: Sequence[Callback]) -> None:
    try:
        run_training(options, callbacks)
    except LevitError as error:
        Path(f"{options.run.out}.error").write_text(str(error))
        sys.exit(FAILURE)


def wait_until(is_true: Callable[[], bool]) -> None:
    """Poll a condition; fail where it does not become true in time."""
    for _ in range(100 * TIMEOUT):
        if is_true():
            return
        time.sleep(0.01)
    pytest.fail("the condition did not become true")


@contextmanager
def killed_at_end(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill what is left of a process, and of the group that it leads, at the end of the block."""
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
