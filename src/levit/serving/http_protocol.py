"""HTTP connections of uvicorn with a limit of time for the head of a request, and errors as JSON."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from levit.serving.gateway import error_content
from levit.serving.security import SECURITY_HEADERS

_HEAD_TIMEOUT = 30  # seconds


class HttpProtocol(HttpToolsProtocol):
    """Connection of a client: one that sends no complete head of a request in time is closed."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the waiting."""
        self._stop_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        super().on_message_begin()
        if self._head_timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """End the waiting, and start the request."""
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP."""
        content = error_content("not a valid HTTP request")
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        headers += [*SECURITY_HEADERS, (b"connection", b"close")]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n" + head + b"\r\n" + content)
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
