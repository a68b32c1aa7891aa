"""Worker processes that load images: start method, signals, and end together with the training process."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from levit.errors import ConfigError

# A process that does not respond for longer has stopped, or waits for a disk or a server that has.
RESPONSE_SECONDS = 600.0

_PRELOADED_MODULES = ["levit.training.data_loader", "levit.training.augmentation"]

_CHECK_SECONDS = 0.5  # between two checks of deadlines

_deadlines: set[Deadline] = set()
_is_watched = False
_workers: weakref.WeakSet[BaseProcess] = weakref.WeakSet()


class Killable(Protocol):
    """A process."""

    def kill(self) -> None:
        """End the process, whatever it does."""
        ...


def check_main_process() -> None:
    """Check that this is not a worker process that imports the script of the training process.

    Raises:
        ConfigError: it is.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as in multiprocessing's own check
        raise ConfigError(
            "a worker process that loads images imports the script, which would train again",
            hint="put the training under `if __name__ == '__main__':`, or set `workers` to 0",
        )


def worker_context() -> BaseContext:
    """Multiprocessing context of the workers; it does not fork the training process.

    A process with threads of OpenMP, Arrow and OpenVINO may deadlock when it is forked (Python warns of it since 3.12).
    On Linux the workers are forks of a server process that has only imported their modules, so that they share its
    memory; on other systems each worker imports them.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED_MODULES)
    with _ignored(signal.SIGTERM):  # sent by launchers to all processes; the server inherits that it is ignored
        forkserver.ensure_running()
    return context


def recorded(context: BaseContext, processes: list[BaseProcess]) -> BaseContext:
    """Return a context that also appends each process that is created in it to a list.

    Those that run when this process ends are killed: multiprocessing would wait for one that was stopped.
    """
    kind: Any = type(context)

    def create(_: BaseContext, *args: Any, **values: Any) -> BaseProcess:
        process: BaseProcess = kind.Process(*args, **values)
        processes.append(process)
        _workers.add(process)
        return process

    recording: BaseContext = type(kind.__name__, (kind,), {"Process": create})()
    return recording


class Deadline:
    """Result of a wait for processes.

    While this process itself is suspended, by Ctrl-Z or a scheduler, no time passes.

    Args:
        seconds: the limit.
        processes: the processes that are killed then.
        clock: time in seconds.

    Attributes:
        has_passed: whether the processes were killed.
    """

    def __init__(
        self, seconds: float, processes: Iterable[Killable], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.has_passed = False
        self._remaining, self._processes = seconds, processes
        self._clock, self._checked_at = clock, clock()

    def check(self) -> None:
        """Kill the processes if it is time to; called every half second, except while this process is suspended."""
        now = self._clock()
        self._remaining -= min(now - self._checked_at, 2 * _CHECK_SECONDS)
        self._checked_at = now
        if not self.has_passed and self._remaining < 0:
            self.has_passed = True
            for process in self._processes:
                process.kill()


@contextmanager
def killed_after(seconds: float, processes: Iterable[Killable]) -> Iterator[Deadline]:
    """Kill processes that the block waits for longer than a limit; their end then ends the wait with an error.

    Args:
        seconds: the limit, to which half a second may be added.
        processes: the processes, which are looked up when the limit has passed.
    """
    global _is_watched
    deadline = Deadline(seconds, processes)
    try:
        _deadlines.add(deadline)
        if not _is_watched:
            _is_watched = True
            threading.Thread(target=_watch, daemon=True).start()
        yield deadline
    finally:
        _deadlines.discard(deadline)


def _watch() -> None:
    """Check the deadlines until there is none; one thread for all of them, because starting a thread takes time."""
    global _is_watched
    while _is_watched:
        time.sleep(_CHECK_SECONDS)
        for deadline in list(_deadlines):
            deadline.check()
        if not _deadlines:
            _is_watched = False
            _is_watched = bool(_deadlines)  # another thread may have added one and seen that it is watched


def _forget_parent() -> None:
    """In a forked child: its parent's thread does not check deadlines here, and its workers are not children."""
    global _is_watched
    _is_watched = False
    _deadlines.clear()
    _workers.clear()


if hasattr(os, "register_at_fork"):  # Unix
    os.register_at_fork(after_in_child=_forget_parent)


@atexit.register  # before multiprocessing waits for them, because it was registered later
def _kill_workers() -> None:
    for process in list(_workers):
        if process.is_alive():
            process.kill()


class WorkerInit:
    """Initialization of a worker process: ignore signals, and exit when the training process ends.

    Ctrl-C and the signal of a launcher reach all processes, but the training process finishes a step first, for which
    it needs the workers. It may also be killed, or end while a traceback still holds references to batches.
    """

    def __init__(self) -> None:
        self._parent_end = _parent_end()

    def __call__(self, worker_id: int) -> None:
        """Initialize a worker; its number has no influence."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=self._exit_with_parent, daemon=True).start()

    def _exit_with_parent(self) -> None:
        self._parent_end.poll(None)
        os._exit(1)


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    """Ignore a signal in the block."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@functools.cache
def _parent_end() -> Connection:
    """Reading end of a pipe whose writing end only this process has: it becomes readable when this process ends."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    atexit.register(writer.close)  # before multiprocessing waits for the workers
    return reader
