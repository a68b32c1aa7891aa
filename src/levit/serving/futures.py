"""Futures of the event loop whose value or error comes from a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import TypeVar

from levit.errors import LevitError, without_frames

Value = TypeVar("Value")


def call_in_thread(executor: Executor, function: Callable[[], Value]) -> tuple[asyncio.Future[Value], Future[None]]:
    """Call a function in a thread.

    In contrast to `loop.run_in_executor`, the future may be completed by something else meanwhile, such as a deadline.

    Args:
        executor: the threads.
        function: the function.

    Returns:
        The future of its value or error, of the running event loop; and the call, which can be canceled before it
        begins.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Value] = loop.create_future()

    def call() -> None:
        value: Value | None = None
        error: Exception | None = None
        try:
            value = function()
        except LevitError as failure:
            error = without_frames(failure)
        except Exception as failure:  # of the program itself: its log needs the frames
            error = failure
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(complete_future, future, value, error)

    return future, executor.submit(call)


def complete_future(future: asyncio.Future[Value], value: Value | None, error: Exception | None) -> None:
    """Give a future its error, or its value if that is None; one that is complete is left as it is."""
    if future.done():
        return
    if error is None:
        future.set_result(value)  # type: ignore[arg-type]
    else:
        future.set_exception(error)
