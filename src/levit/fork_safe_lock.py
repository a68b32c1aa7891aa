"""Lock that a forked child process can use, whatever the threads of its parent were doing."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from weakref import WeakSet


class ForkSafeLock:
    """Lock that is free in a forked child; a context manager, which a thread may enter again.

    A child has only the thread that forked it. A `threading.Lock` that another thread of the parent holds at that
    moment is never released in the child, which would wait for it forever.

    Examples:
        >>> lock = ForkSafeLock()
        >>> with lock:
        ...     print("one thread at a time")
        one thread at a time
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def __enter__(self) -> None:
        """Wait until no other thread has the lock, and take it."""
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release the lock."""
        self._lock.release()

    def renew(self) -> None:
        """Make a lock free that a thread of the parent holds; the thread that forked keeps its own."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()


_locks: WeakSet[ForkSafeLock] = WeakSet()


def _renew_all() -> None:
    for lock in list(_locks):
        lock.renew()


if hasattr(os, "register_at_fork"):  # Unix
    os.register_at_fork(after_in_child=_renew_all)
