"""How a run is asked to stop: by Ctrl-C, or by who has lent the machine."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Seconds in which a signal comes several times and means one: the terminal, Slurm and torchrun each tell every process.
_TOGETHER = 3.0


class Stopped(Exception):  # noqa: N818  # it is none
    """Somebody wants the run to stop here."""


@contextmanager
def heed_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C, and the signal with which Slurm announces the end, ask to stop; a later Ctrl-C stops at once.

    Args:
        stop: is called for each; it only takes note.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    told_at: list[float] = []

    def heed(number: int, _: FrameType | None) -> None:
        told_at.append(time.monotonic())
        stop()
        if number == signal.SIGINT and told_at[-1] - told_at[0] > _TOGETHER:
            raise KeyboardInterrupt  # also where the shell has begun it in the background, which ignores Ctrl-C

    for wanted in (signal.SIGINT, signal.SIGTERM):
        before[wanted] = signal.signal(wanted, heed)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
