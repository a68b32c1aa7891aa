"""Control group: messages of the processes that train together about the run itself, beside those of the network.

They are exchanged by gloo on the CPU, so that no process waits for its GPU.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
from accelerate import Accelerator
from torch import distributed
from torch.distributed import ProcessGroup

from levit.errors import LevitError, first_line
from levit.training.signals import interruptible_wait

# A process that is later than the others by more has stopped: work of any duration is done in `long_work`. What each
# process waits for itself, such as a batch of its own teacher, has its own limit, because all of them wait as long.
# gloo also counts the time in which all are suspended; such a run may end with an error, and continues with `resume`.
COLLECTIVE_TIMEOUT = timedelta(minutes=10)

_HEARTBEAT_SECONDS = 1.0  # between two heartbeats
_LEAVE_SECONDS = 5.0  # in which a process that fails notifies the others
_MAX_POLL_SECONDS = 0.05

# What precedes the cause in messages of gloo: a line of its source, and the address of the other process.
_ORIGIN = re.compile(r"^\[\S+:\d+\] |Read error \[\S+\]:\d+: |Write error \[\S+\]:\d+: ")

_control_groups: dict[ProcessGroup, ProcessGroup] = {}  # of the group of all processes, which outlives a run


def connect_control_group(timeout: timedelta = COLLECTIVE_TIMEOUT) -> None:
    """Connect the control group, where there is none yet; all processes call it at the same point.

    Args:
        timeout: how long a process waits for another one.
    """
    if (world := _world()) not in _control_groups:
        group = distributed.new_group(backend="gloo", timeout=timeout)
        assert isinstance(group, ProcessGroup)  # noqa: S101  # it has all processes
        _control_groups[world] = group


def sum_in_control_group(values: Sequence[int]) -> list[int]:
    """Sum integers over all processes; signals are handled during the wait, and a second one ends it.

    Raises:
        LevitError: another process has ended, or does not respond.
    """
    sums = torch.tensor(values, dtype=torch.int64)
    with connection_errors(), interruptible_wait():
        work = distributed.all_reduce(sums, group=_control_group(), async_op=True)
        seconds = 1e-5
        while not work.is_completed():  # `wait` would not return for a signal
            time.sleep(seconds)
            seconds = min(2 * seconds, _MAX_POLL_SECONDS)
        work.wait()
    return [int(value) for value in sums]


@contextmanager
def long_work(accelerator: Accelerator, *, heartbeat_seconds: float = _HEARTBEAT_SECONDS) -> Iterator[None]:
    """Do work of any duration, and wait at the end of the block until every process has reached it.

    Meanwhile a thread of each process exchanges heartbeats with the others, so that a process that has ended or was
    stopped is noticed, and the error of one process ends all of them. The work must not use the control group.

    Args:
        accelerator: the processes; a single one does not wait.
        heartbeat_seconds: seconds between two heartbeats.

    Raises:
        LevitError: another process has failed or ended, or does not respond.
    """
    if accelerator.num_processes == 1:
        yield
        return
    heartbeat = _Heartbeat(heartbeat_seconds)
    try:
        yield
    except BaseException:
        heartbeat.leave()
        raise
    heartbeat.wait()


def wait_for_all(accelerator: Accelerator) -> None:
    """Wait until every process has called this function.

    Raises:
        LevitError: another process has failed or ended, or does not respond.
    """
    with long_work(accelerator):
        pass


@contextmanager
def connection_errors() -> Iterator[None]:
    """Raise a one-line `LevitError` where another process has ended or does not respond.

    torch raises `RuntimeError` for it, with the name of the library that connects the processes.
    """
    try:
        yield
    except RuntimeError as error:
        is_distributed = isinstance(error, distributed.DistError) or "gloo" in str(error)
        if not is_distributed:
            raise
        cause = _ORIGIN.sub("", first_line(error)).split(". ")[0]
        reason = f"another of the processes that train together has ended or does not respond ({cause})"
        raise LevitError(reason, hint="see its messages, and continue with `resume`") from error


class _Heartbeat(threading.Thread):
    """Thread that exchanges whether processes are at work, until none is or one has failed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(daemon=True)
        self._seconds = seconds
        self._group = _control_group()
        self._has_ended = threading.Event()
        self._has_failed = False
        self._error: LevitError | None = None
        self.start()

    def wait(self) -> None:
        """Wait for all processes.

        Raises:
            LevitError: another process has failed or ended, or does not respond.
        """
        self._has_ended.set()
        with interruptible_wait():
            while self.is_alive():
                self.join(self._seconds)
        if self._error is not None:
            raise self._error

    def leave(self) -> None:
        """Notify the other processes that this one has failed."""
        self._has_failed = True
        self._has_ended.set()
        self.join(_LEAVE_SECONDS)

    def run(self) -> None:
        """Exchange heartbeats."""
        try:
            while self._exchange():
                self._has_ended.wait(self._seconds)
        except LevitError as error:
            self._error = error

    def _exchange(self) -> bool:
        """Exchange one heartbeat; whether all processes go on."""
        has_ended = self._has_ended.is_set()
        counts = torch.tensor([not has_ended, has_ended and self._has_failed], dtype=torch.int64)
        with connection_errors():
            distributed.all_reduce(counts, group=self._group)
        num_working, num_failed = counts.tolist()
        if num_failed:
            reason = "another of the processes that train together has failed"
            self._error = LevitError(reason, hint="see its message")
        return num_working > 0 and not num_failed


def _world() -> ProcessGroup:
    world = distributed.group.WORLD
    assert world is not None  # noqa: S101  # there are several processes
    return world


def _control_group() -> ProcessGroup:
    connect_control_group()
    return _control_groups[_world()]
