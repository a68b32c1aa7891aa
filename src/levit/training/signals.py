"""Signals that stop a run: Ctrl-C, and the signal that a cluster sends before it ends a job."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Seconds in which repeated signals count as one: the terminal, Slurm and torchrun each signal every process.
_REPETITION_SECONDS = 3.0


class StopRequested(Exception):  # noqa: N818  # control flow, not an error
    """The run shall save and stop here."""


@contextmanager
def handle_signals(request_stop: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Call a function for SIGINT (Ctrl-C) and SIGTERM; SIGINT more than three seconds after the first signal raises.

    In another thread than the main one, which Python gives no signals, nothing changes.

    Args:
        request_stop: function that is called for every signal; it should only set a flag, as it interrupts other code.
        clock: function that returns the time in seconds.

    Raises:
        KeyboardInterrupt: a later Ctrl-C arrived; it is raised inside the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    first: float | None = None

    def handle(number: int, _: FrameType | None) -> None:
        nonlocal first
        now = clock()
        first = now if first is None else first
        request_stop()
        if number == signal.SIGINT and now - first > _REPETITION_SECONDS:
            # Not the previous handler: a shell that starts a job in the background sets SIGINT to be ignored.
            raise KeyboardInterrupt

    previous: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
