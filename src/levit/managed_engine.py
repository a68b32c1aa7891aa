"""Base class of the engines: closing, forked child processes, and threads that outlive the program."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from types import TracebackType
from typing import ParamSpec, Self, TypeVar
from weakref import WeakSet

from levit.errors import EngineError

Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")

_EXIT_TIMEOUT = 60  # seconds that the end of the program waits for a computation of a daemon thread


class ProcessGuard:
    """The one process that may use threads: a forked child has none of the threads of its parent.

    Args:
        name: name of the owner of the threads, for the error.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._process: int | None = None
        self._preparations: set[object] = set()
        _guards.add(self)

    @property
    def is_of_parent(self) -> bool:
        """Whether this process is a forked child whose parent has used the threads."""
        return self._process not in (None, os.getpid())

    def check(self) -> None:
        """Make this process the one that uses the threads, unless another one has before.

        Raises:
            EngineError: the parent of this forked process has used the threads.
        """
        if self._process is None:
            self._process = os.getpid()
        elif self.is_of_parent:
            raise EngineError(
                f"{self._name} was used before this process was forked, and its threads were not copied",
                hint='start processes by the method "spawn", or fork before the first prediction',
            )

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Call the owner in this block without its threads; a child that is forked meanwhile cannot use it.

        Raises:
            EngineError: the parent of this forked process has used the threads, or was in such a block.
        """
        if self._process is not None:
            self.check()
        preparation = object()
        self._preparations.add(preparation)
        try:
            yield
        finally:
            self._preparations.discard(preparation)

    def note_fork(self) -> None:
        """Refuse the use in this forked child if another thread of the parent was calling the owner."""
        if self._preparations and self._process is None:
            self._process = os.getppid()


class ManagedEngine:
    """Engine that can be closed, and that raises an error where its threads do not exist.

    Subclasses compute inside `_computing()`, and free their resources in `_release()`.

    Args:
        guard: guard of the threads of the engine; None for an engine without threads.
    """

    def __init__(self, guard: ProcessGuard | None = None) -> None:
        self._guard = guard
        self._calls = 0
        self._refusal: EngineError | None = None
        self._changed = threading.Condition()
        _engines.add(self)

    def close(self) -> None:
        """Finish the computations in progress, and free the network and its threads; a second call does nothing.

        Later computations raise an EngineError. A forked child only refuses them if its parent has used the threads,
        because it has none of them to wait for.
        """
        refusal = EngineError("the engine is closed", hint="open a new one")
        if self._guard is not None and self._guard.is_of_parent:
            self._refusal = refusal  # without the lock, which a thread of the parent may have
            return
        self._finish(refusal, None)
        self._release()

    def __enter__(self) -> Self:
        """Return the engine."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the engine."""
        self.close()

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Count a computation, so that `close()` waits for it.

        Raises:
            EngineError: the engine is closed, belongs to another process, or the program is ending.
        """
        if self._guard is not None:
            self._guard.check()
        with self._changed:
            if self._refusal is not None:
                raise EngineError(self._refusal.reason, hint=self._refusal.hint)
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def _release(self) -> None:
        """Free the network and its threads; no computation is in progress or can start."""

    def _finish(self, refusal: EngineError, timeout: float | None) -> None:
        """Refuse new computations, and wait for those in progress."""
        with self._changed:
            self._refusal = self._refusal or refusal
            self._changed.wait_for(lambda: not self._calls, timeout)


def schedule(
    executor: Executor, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Future[Result]:
    """Call a function in a thread of an executor.

    Raises:
        EngineError: the program is ending, or the engine that owns the executor was closed meanwhile.
    """
    try:
        return executor.submit(function, *args, **kwargs)
    except RuntimeError as error:
        raise EngineError("no thread can be started, because the program is ending", hint=_JOIN) from error


def schedule_in_slot(
    slots: threading.Semaphore,
    executor: Executor,
    function: Callable[Parameters, Result],
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Future[Result]:
    """Call a function in a thread of an executor as soon as one of the slots is free, which it occupies until it ends.

    It blocks until then, so that no more calls wait than there are slots.

    Raises:
        EngineError: as `schedule`.
    """
    slots.acquire()
    try:
        future = schedule(executor, function, *args, **kwargs)
    except EngineError:
        slots.release()
        raise
    future.add_done_callback(lambda _: slots.release())
    return future


_JOIN = "join threads that predict before the main thread ends"
_engines: WeakSet[ManagedEngine] = WeakSet()
_engines_of_the_parent: list[ManagedEngine] = []
_guards: WeakSet[ProcessGuard] = WeakSet()


def _note_fork() -> None:
    """Never free the engines of the parent in a forked child: their destructors would wait for missing threads."""
    _engines_of_the_parent.extend(_engines)
    for guard in list(_guards):
        guard.note_fork()


def _finish_all() -> None:
    """Let no thread return from a computation into an interpreter that no longer exists, which would abort."""
    for engine in list(_engines):
        if engine not in _engines_of_the_parent:
            engine._finish(EngineError("the program is ending", hint=_JOIN), _EXIT_TIMEOUT)


atexit.register(_finish_all)
if hasattr(os, "register_at_fork"):  # Unix
    os.register_at_fork(after_in_child=_note_fork)
