"""Deadline of a request, and whether its result is still needed; threads look at both before they compute."""

from __future__ import annotations

import time
from collections.abc import Callable

from levit.serving.errors import CLIENT_CLOSED_REQUEST, RequestError

Clock = Callable[[], float]

TIMEOUT_STATUS = 504


class Deadline:
    """Time until which the result of a request is needed, unless its client disconnects before.

    Args:
        timeout: seconds from now, above 0; infinity for no limit.
        clock: function that gives the time in seconds.

    Examples:
        >>> deadline = Deadline(30)
        >>> deadline.check()
        >>> deadline.abandon()
        >>> deadline.check()
        Traceback (most recent call last):
        levit.serving.errors.RequestError: the request has ended
    """

    def __init__(self, timeout: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._timeout = timeout
        self._end = clock() + timeout
        self._is_abandoned = False

    @property
    def remaining(self) -> float:
        """Seconds until the deadline; negative after it."""
        return self._end - self._clock()

    def shorten(self, timeout: float) -> None:
        """Use an earlier deadline, a number of seconds from now; a later one is ignored."""
        end = self._clock() + timeout
        if end < self._end:
            self._end, self._timeout = end, timeout

    def abandon(self) -> None:
        """End the request: work that has not begun is left out.

        The error that ended it is not kept: the frames of its traceback contain the request, and the cycle of
        references would leave each refused request to the garbage collector.
        """
        self._is_abandoned = True

    def expired(self) -> RequestError:
        """The error of a request after its deadline."""
        return RequestError(TIMEOUT_STATUS, f"no result within {self._timeout:g} s")

    def check(self) -> None:
        """Raise an error if the result is not needed any more; threads call it before each step.

        Raises:
            RequestError: the request has ended, or its deadline is over.
        """
        if self._is_abandoned:
            raise RequestError(CLIENT_CLOSED_REQUEST, "the request has ended")
        if self.remaining <= 0:
            raise self.expired()
