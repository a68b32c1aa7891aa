"""HTTP connections of uvicorn with direct predictions, a limit of time for the head of a request, errors as JSON."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from levit.serving.direct_predictions import DirectPrediction, find_direct
from levit.serving.error_responses import Headers, error_content
from levit.serving.security import SECURITY_LINES
from levit.serving.service import Service

_HEAD_TIMEOUT = 30  # seconds


class HttpProtocol(HttpToolsProtocol):
    """Connection of a client: one that sends no complete head, or not the rest of a refused body, in time is closed.

    Args:
        service: the service, for direct predictions.
        arguments: arguments of uvicorn's connection.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _direct: DirectPrediction | None = None  # the last one
    _is_complete = False  # the last request, with its body

    def __init__(self, service: Service, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._service = service

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the waiting, and the request in progress."""
        self._stop_timer()
        if self._direct is not None:
            self._direct.disconnect()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        super().on_message_begin()
        if self._head_timer is None:
            self._start_timer()

    def on_headers_complete(self) -> None:
        """End the waiting, and start the request."""
        self._stop_timer()
        self._is_complete = False
        direct = self._direct_prediction()
        if direct is None:
            super().on_headers_complete()
        else:
            self._direct = self.cycle = direct  # type: ignore[assignment]
            direct.start()

    def on_body(self, body: bytes) -> None:
        """Give a part of the body to the request."""
        if isinstance(self.cycle, DirectPrediction):
            self.cycle.add(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Let the request know that its body is complete, or wait for the next one after an early response."""
        self._is_complete = True
        if self.cycle.response_complete:
            self._stop_timer()
            self._unset_keepalive_if_required()  # one that the response has started, before the end of the body
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif isinstance(self.cycle, DirectPrediction):
            self.cycle.finish()
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for the rest of the body."""
        super().on_response_complete()
        if self.cycle.response_complete and not self._is_complete:
            self._start_timer()

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP."""
        content = error_content("not a valid HTTP request")
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        self._write(400, headers, content, keep_alive=False)

    def _direct_prediction(self) -> DirectPrediction | None:
        """The request as a direct prediction; None if it needs an application, or must wait for an earlier response."""
        is_waiting = self.flow.write_paused or not (self.cycle is None or self.cycle.response_complete)
        if is_waiting or self._service.options.origins or self.parser.should_upgrade():
            return None
        request = find_direct(self.parser.get_method(), self.url, self.headers)
        if request is None:
            return None
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return DirectPrediction(self._service, request, self._respond, keep_alive=keep_alive)

    def _respond(self, status: int, headers: Headers, content: bytes) -> None:
        """Send the response of a direct prediction, and go on with the next request."""
        # Another request may have come since.
        is_last = self._service.lifecycle.is_ending or (self._direct is not None and not self._direct.keep_alive)
        self._write(status, headers, content, keep_alive=not is_last)
        self.on_response_complete()

    def _write(self, status: int, headers: Headers, content: bytes, *, keep_alive: bool) -> None:
        fields = (*self.server_state.default_headers, *headers)
        head = b"".join([name + b": " + value + b"\r\n" for name, value in fields])
        closing = b"" if keep_alive else b"connection: close\r\n"
        self.transport.write(STATUS_LINE[status] + head + SECURITY_LINES + closing + b"\r\n" + content)
        if not keep_alive:
            self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(_HEAD_TIMEOUT, self.transport.close)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
