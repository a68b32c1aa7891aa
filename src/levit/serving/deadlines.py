"""Deadline of a request, and whether its result is still needed; threads look at both before they compute."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from levit.serving.errors import RequestError

Clock = Callable[[], float]

TIMEOUT_STATUS = 504


class Deadline:
    """Time until which the result of a request is needed, unless its client disconnects before.

    Args:
        timeout: seconds from now, above 0; infinity for no limit.
        clock: function that gives the time in seconds.

    Examples:
        >>> from levit.serving.errors import DisconnectedError
        >>> deadline = Deadline(30)
        >>> deadline.check()
        >>> deadline.abandon(DisconnectedError())
        >>> deadline.check()
        Traceback (most recent call last):
        levit.serving.errors.DisconnectedError: the client has disconnected
    """

    def __init__(self, timeout: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._timeout = timeout
        self._end = clock() + timeout
        self._reason: RequestError | None = None

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._end - self._clock()

    @property
    def is_abandoned(self) -> bool:
        """Whether the request has ended, so that no one needs the result."""
        return self._reason is not None

    def shorten(self, timeout: float) -> None:
        """Use an earlier deadline, a number of seconds from now; a later one is ignored."""
        end = self._clock() + timeout
        if end < self._end:
            self._end, self._timeout = end, timeout

    def abandon(self, reason: RequestError) -> None:
        """End the request: work that has not begun is left out.

        The reason is kept without its traceback, whose frames contain the request: the cycle of references would leave
        each refused request to the garbage collector.
        """
        self._reason = self._reason or reason.with_traceback(None)

    def expired(self) -> RequestError:
        """The error of a request after its deadline."""
        return RequestError(TIMEOUT_STATUS, f"no result within {self._timeout:g} s")

    def check(self) -> None:
        """Raise an error if the result is not needed any more; threads call it before each step.

        Raises:
            RequestError: the deadline is over, or the client has disconnected.
        """
        if self._reason is not None:
            raise self._reason
        if self.remaining <= 0:
            raise self.expired()


def parse_timeout(text: str, limit: float) -> float:
    """The timeout that a request asks for, in seconds, at most that of the service.

    Raises:
        RequestError: it is not a positive number.

    Examples:
        >>> parse_timeout("0.5", 30), parse_timeout("60", 30)
        (0.5, 30)
    """
    try:
        timeout = float(text)
    except ValueError:
        timeout = math.nan
    if not timeout > 0:
        raise RequestError(422, f"timeout is {text!r}: give a number of seconds above 0")
    return min(timeout, limit)
