"""States of the service: it loads its models, is ready, then drains, and ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

from levit.serving.errors import RequestError, unavailable


class State(Enum):
    """State of the service."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"


class Lifecycle:
    """State of the service; used by the thread of the event loop only.

    Args:
        observe: called after each change with True if requests are accepted.

    Attributes:
        state: the state.
        is_ending: whether bodies of requests that are not complete are refused, too.

    Examples:
        >>> lifecycle = Lifecycle()
        >>> lifecycle.state
        <State.LOADING: 'loading'>
        >>> lifecycle.check_ready()
        Traceback (most recent call last):
        levit.serving.errors.RequestError: the service is loading
    """

    def __init__(self, observe: Callable[[bool], None] = lambda is_ready: None) -> None:
        self.state = State.LOADING
        self.is_ending = False
        self._observe = observe
        self._waiting: set[asyncio.Timeout] = set()

    @property
    def is_ready(self) -> bool:
        """Whether requests are accepted."""
        return self.state is State.READY

    def check_ready(self) -> None:
        """Raise an error, with the status 503, unless requests are accepted."""
        if self.state is not State.READY:
            raise self.refusal()

    def refusal(self) -> RequestError:
        """The error of a request that is not accepted in this state."""
        return unavailable(f"the service is {self.state.value}")

    def finish_loading(self) -> None:
        """Accept requests, unless the end has begun."""
        if self.state is State.LOADING:
            self.state = State.READY
            self._observe(True)

    def drain(self) -> None:
        """Accept no more requests."""
        self.state = State.DRAINING
        self._observe(False)

    def end(self) -> None:
        """Wait for no more bodies of requests: those that were accepted are finished, the others are refused."""
        self.drain()
        self.is_ending = True
        for timeout in self._waiting:
            timeout.reschedule(0)

    @asynccontextmanager
    async def waiting(self, timeout: asyncio.Timeout) -> AsyncIterator[None]:
        """Let the end of the service end a block that waits for a client, by its timeout."""
        if self.is_ending:
            timeout.reschedule(0)
        self._waiting.add(timeout)
        try:
            yield
        finally:
            self._waiting.discard(timeout)
