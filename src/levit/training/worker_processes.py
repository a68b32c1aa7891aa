"""The processes that prepare images: where they come from, what they ignore, and when they end."""

from __future__ import annotations

import atexit
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext

from levit.errors import ConfigError

_IMPORTED = ["levit.training.data_loader", "levit.training.augmentation"]


def check_main_process() -> None:
    """Whether this is the process that trains, and not one that prepares images and imports the script of the former.

    Raises:
        ConfigError: it is the latter.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing's own check does
        raise ConfigError(
            "the processes that prepare images import the script, which trains again: put the training under "
            "`if __name__ == '__main__':`, or choose workers=0"
        )


def worker_context() -> BaseContext:
    """Where they come from: not from a fork of this process.

    It may have threads of OpenMP, Arrow and OpenVINO, on which a fork can hang (Python warns of it since 3.12). On
    Linux a server that has only imported what they need forks them, so that they share it in memory; elsewhere each
    imports it.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    with _ignored(signal.SIGTERM):  # a launcher's, which reaches the server too: it inherits what is ignored now
        forkserver.ensure_running()
    return context


class WorkerInit:
    """What each does first: it ignores the signals that all processes get, and waits for the end of this one.

    Ctrl-C and a launcher's signal reach all, and the process that trains has to finish a step first. It may also be
    killed, or end while it still holds batches, say in the traceback of an error.
    """

    def __init__(self) -> None:
        self._ended = _ended()

    def __call__(self, _: int) -> None:
        """Begin; the number of the process does not matter."""
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        threading.Thread(target=self._end, daemon=True).start()

    def _end(self) -> None:
        self._ended.poll(None)
        os._exit(1)


@contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # which alone may say so
        yield
        return
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@functools.cache
def _ended() -> Connection:
    """Readable when this process ends: it alone has the other side."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    atexit.register(writer.close)  # before multiprocessing waits for its processes
    return reader
