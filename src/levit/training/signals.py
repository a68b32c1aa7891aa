"""Signals that stop a run: Ctrl-C, and the signal that a cluster sends before it ends a job."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from levit.logs import get_logger

# Seconds in which repeated signals count as one: the terminal, Slurm and torchrun each signal every process.
_REPETITION_SECONDS = 3.0
# Seconds in which a process handles a later signal, unless it is blocked, by another process or by a disk for instance.
_BLOCKED_SECONDS = 20.0
_POLL_SECONDS = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_num_waits = 0  # waits for other processes that the main thread is in


class StopRequested(BaseException):
    """The run shall save and stop here.

    As `KeyboardInterrupt`, it is no `Exception`, because a decoder of images takes every one for a damaged file.
    """


@contextmanager
def handle_signals(
    request_stop: Callable[[], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    blocked_seconds: float = _BLOCKED_SECONDS,
) -> Iterator[None]:
    """Call a function for SIGINT (Ctrl-C) and SIGTERM.

    Of signals that arrive more than three seconds after the first one, SIGINT raises, and SIGTERM raises in a wait for
    other processes. Where the process is blocked, so that Python handles no signal, a later one ends it.

    In another thread than the main one, which Python gives no signals, nothing changes.

    Args:
        request_stop: function that is called for every signal; it should only set a flag, as it interrupts other code.
        clock: function that returns the time in seconds.
        blocked_seconds: seconds in which the process has to handle a later signal; it is ended if it does not.

    Raises:
        KeyboardInterrupt: a later signal arrived; it is raised inside the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watch = _SignalWatch(clock, blocked_seconds)

    def handle(number: int, _: FrameType | None) -> None:
        is_later = watch.handled()
        request_stop()
        if is_later and (number == signal.SIGINT or _num_waits):
            # Not the previous handler: a shell that starts a job in the background sets SIGINT to be ignored.
            raise KeyboardInterrupt

    previous: dict[int, Any] = {number: signal.signal(number, handle) for number in _SIGNALS}
    watch.start()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        watch.close()


@contextmanager
def interruptible_wait() -> Iterator[None]:
    """Mark a wait for other processes, which a later SIGTERM ends as well."""
    global _num_waits
    is_main = threading.current_thread() is threading.main_thread()
    _num_waits += is_main
    try:
        yield
    finally:
        _num_waits -= is_main


class _SignalWatch(threading.Thread):
    """Thread that ends the process at a later signal that the main thread cannot handle.

    The system passes a signal to Python at once, but Python calls its handler only between two of its instructions, and
    a call of a library that waits for another process or for a disk is one of them.
    """

    def __init__(self, clock: Callable[[], float], blocked_seconds: float) -> None:
        super().__init__(daemon=True)
        self._clock, self._blocked_seconds = clock, blocked_seconds
        self._first: float | None = None
        self._handled = -float("inf")
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def handled(self) -> bool:
        """Note that the main thread handles a signal; return whether it is a later one."""
        self._handled = self._clock()
        return self._is_later(self._handled)

    def close(self) -> None:
        """End the thread."""
        signal.set_wakeup_fd(self._previous)
        self._writer.close()
        self.join()
        self._reader.close()

    def run(self) -> None:
        """Read signals until `close`."""
        while received := self._reader.recv(1):
            if received[0] in _SIGNALS and self._is_later(now := self._clock()) and self._is_blocked(now):
                get_logger().error("ended by a second signal without saving: a call of a library did not return")
                os._exit(128 + received[0])

    def _is_later(self, now: float) -> bool:
        if self._first is None:
            self._first = now
        return now - self._first > _REPETITION_SECONDS

    def _is_blocked(self, received: float) -> bool:
        """Wait for the main thread to handle a signal that was received; whether it does not."""
        for _ in range(round(self._blocked_seconds / _POLL_SECONDS)):
            if self._handled > received - 1.0 or self._writer.fileno() < 0:
                return False
            time.sleep(_POLL_SECONDS)
        return True
