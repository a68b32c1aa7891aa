"""Bodies of requests, read with limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from typing import Any

from levit.serving.deadlines import Deadline
from levit.serving.errors import DisconnectedError, RequestError, overloaded
from levit.serving.lifecycle import Lifecycle

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_MEMORY_FACTOR = 32  # limits of one body, for all bodies in memory
_SMALL_PART = 4_096  # bytes; smaller parts are copied together, because an object for each takes more than its bytes


class BodyReader:
    """Reads the bodies of requests; used by the event loop's thread only.

    Args:
        limit: largest size of a body in bytes.
        lifecycle: at its end, bodies that are not complete are refused.

    Attributes:
        limit: the argument.
        held: bytes of all bodies that are in memory.
    """

    def __init__(self, limit: int, lifecycle: Lifecycle) -> None:
        self.limit = limit
        self._lifecycle = lifecycle
        self.held = 0

    def check_length(self, content_length: str | None) -> None:
        """Raise an error if a body will be too large, by the header Content-Length, or None without it.

        Raises:
            RequestError: the body is too large, 413.
        """
        if content_length is not None and content_length.isdecimal() and int(content_length) > self.limit:
            raise self.too_large()

    @asynccontextmanager
    async def read(self, receive: Receive, content_length: str | None, deadline: Deadline) -> AsyncIterator[bytes]:
        """Read a body, and hold it until the end of the block.

        Args:
            receive: function that waits for the next part of the request.
            content_length: value of the header Content-Length, or None.
            deadline: deadline of the request, which also limits the time to send its body.

        Raises:
            RequestError: the body is too large (413) or too slow (408), there are too many bodies at once (429), or
                the service ends (503).
            DisconnectedError: the client has disconnected.
        """
        self.check_length(content_length)
        with closing(Body(self)) as body:
            try:
                async with asyncio.timeout(deadline.remaining) as timeout:
                    with self._lifecycle.waiting(partial(_expire, timeout)):
                        async for part in _parts(receive):
                            body.add(part)
            except TimeoutError as error:
                raise (self._lifecycle.refusal() if self._lifecycle.is_ending else too_slow()) from error
            yield body.content()

    def too_large(self) -> RequestError:
        """The error of a body above the limit."""
        return RequestError(413, f"the body is larger than the limit of {self.limit / 1e6:g} MB")


class Body:
    """Body of a request, whose bytes count until it is closed.

    Args:
        reader: the reader of all bodies.
    """

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self._parts: list[bytes | bytearray] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """Add a part.

        Raises:
            RequestError: the body is too large (413), or there are too many bodies at once (429).
        """
        if len(part) >= _SMALL_PART:
            self._parts.append(part)
        elif self._parts and isinstance(self._parts[-1], bytearray):
            self._parts[-1] += part
        elif part:
            self._parts.append(bytearray(part))
        self._size += len(part)
        self._reader.held += len(part)
        if self._size > self._reader.limit:
            raise self._reader.too_large()
        if self._reader.held > _MEMORY_FACTOR * self._reader.limit:
            raise overloaded("too many requests are being received")

    def content(self) -> bytes:
        """All parts; one large part is not copied."""
        first = self._parts[0] if len(self._parts) == 1 else None
        return first if isinstance(first, bytes) else b"".join(self._parts)

    def close(self) -> None:
        """Hold the bytes no longer; a second call does nothing."""
        self._reader.held -= self._size
        self._size = 0
        self._parts = []


def too_slow() -> RequestError:
    """The error of a body that is not complete at the deadline."""
    return RequestError(408, "the body of the request was not complete in time")


def _expire(timeout: asyncio.Timeout) -> None:
    """End the time for a body, unless it has ended in the same iteration of the event loop."""
    with suppress(RuntimeError):
        timeout.reschedule(0)


async def _parts(receive: Receive) -> AsyncIterator[bytes]:
    is_complete = False
    while not is_complete:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        is_complete = not message.get("more_body", False)
        yield message.get("body", b"")
