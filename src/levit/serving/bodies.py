"""Bodies of requests, read with limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from levit.serving.deadlines import Deadline
from levit.serving.errors import DisconnectedError, RequestError, overloaded
from levit.serving.lifecycle import Lifecycle

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_MEMORY_FACTOR = 32


class BodyReader:
    """Reads the bodies of requests; used by the event loop's thread only.

    Args:
        limit: largest size of a body in bytes.
        lifecycle: at its end, bodies that are not complete are refused.

    Attributes:
        held: bytes of all bodies that are in memory.
    """

    def __init__(self, limit: int, lifecycle: Lifecycle) -> None:
        self._limit = limit
        self._memory = _MEMORY_FACTOR * limit
        self._lifecycle = lifecycle
        self.held = 0

    @asynccontextmanager
    async def read(self, receive: Receive, content_length: str | None, deadline: Deadline) -> AsyncIterator[bytes]:
        """Read a body, and count its bytes until the end of the block.

        Args:
            receive: function that waits for the next part of the request.
            content_length: value of the header Content-Length, or None.
            deadline: deadline of the request, which also limits the time to send its body.

        Raises:
            RequestError: the body is too large (413) or too slow (408), there are too many bodies at once (429), or
                the service ends (503).
            DisconnectedError: the client has disconnected.
        """
        if content_length is not None and content_length.isdecimal() and int(content_length) > self._limit:
            raise self._too_large()
        parts: list[bytes] = []
        size = 0
        try:
            async for part in self._parts(receive, deadline):
                parts.append(part)
                size += len(part)
                self.held += len(part)
                if size > self._limit:
                    raise self._too_large()
                if self.held > self._memory:
                    raise overloaded("too many requests are being received")
            yield parts[0] if len(parts) == 1 else b"".join(parts)
        finally:
            self.held -= size

    async def _parts(self, receive: Receive, deadline: Deadline) -> AsyncIterator[bytes]:
        is_complete = False
        while not is_complete:
            try:
                async with asyncio.timeout(deadline.remaining) as timeout, self._lifecycle.waiting(timeout):
                    message = await receive()
            except TimeoutError as error:
                if self._lifecycle.is_ending:
                    raise self._lifecycle.refusal() from error
                raise RequestError(408, "the body of the request was not complete in time") from error
            if message["type"] == "http.disconnect":
                raise DisconnectedError
            is_complete = not message.get("more_body", False)
            yield message.get("body", b"")

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the body is larger than the limit of {self._limit / 1e6:g} MB")
