"""States of the service: it loads its models, is ready, then drains, and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        self._waiting: set[Callable[[], None]] = set()

    @property
    def is_ready(self) -> bool:
        """Whether requests are accepted."""
        return self.state is State.READY

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun, so that a connection is closed after its next response."""
        return self.state is State.DRAINING

    def check_ready(self) -> None:
        """Raise an error, with the status 503, unless requests are accepted."""
        if self.state is not State.READY:
            raise self.refusal()

    def check_loaded(self) -> None:
        """Raise an error, with the status 503, while models are loading."""
        if self.state is State.LOADING:
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
        for refuse in list(self._waiting):
            refuse()

    def add_waiting(self, refuse: Callable[[], None]) -> None:
        """Call a function at the end of the service, which ends the waiting for a client."""
        if self.is_ending:
            refuse()
        self._waiting.add(refuse)

    def remove_waiting(self, refuse: Callable[[], None]) -> None:
        """Do not call a function any more; one that was not added is ignored."""
        self._waiting.discard(refuse)

    @contextmanager
    def waiting(self, refuse: Callable[[], None]) -> Iterator[None]:
        """Call a function if the service ends within the block."""
        self.add_waiting(refuse)
        try:
            yield
        finally:
            self.remove_waiting(refuse)
