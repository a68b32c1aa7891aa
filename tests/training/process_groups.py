"""Training in processes that can be killed, alone or as a group that trains together."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

import torch

from levit.training.callbacks import Callback, StepReport
from levit.training.options import TrainingOptions
from levit.training.progress import Progress
from levit.training.train import run_training

TIMEOUT = 120  # seconds; a process that needs more hangs


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


class SignalAfterStep(Callback):
    """SIGTERM, twice, to this process after its first step: Slurm sends it to torchrun and to its processes."""

    def on_step(self, report: StepReport) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)


def start(
    context: BaseContext, options: TrainingOptions, callbacks: Sequence[Callback] = (), *, count: int = 1
) -> list[BaseProcess]:
    """Start processes that train together, with the environment that torchrun gives them."""
    environment: dict[str, str] = {}
    if count > 1:
        with socket.socket() as unused:
            unused.bind(("localhost", 0))
            port = unused.getsockname()[1]
        environment = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
        environment["LOCAL_WORLD_SIZE"] = str(count)
    processes = []
    for rank in range(count):
        of_rank = {"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {}
        process = context.Process(target=_train, args=(options, callbacks, environment | of_rank))  # type: ignore[attr-defined]
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


def _train(options: TrainingOptions, callbacks: Sequence[Callback], environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    run_training(options, callbacks)
