"""HTTP connections of uvicorn with direct predictions, limits of time and size for their clients, errors as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from levit.serving.direct_predictions import DirectPrediction, find_direct
from levit.serving.errors import Headers, RequestError, error_response
from levit.serving.security import SECURITY_LINES
from levit.serving.service import Service
from levit.serving.upgrade_offers import UpgradeOffers

WRITE_TIMEOUT = 30
"""Seconds after which the connection of a client that reads nothing of its response is closed."""

_HEAD_LIMIT = 65_536  # bytes


class HttpProtocol(UpgradeOffers):
    """Connection of a client, which is closed if the client is too slow, or sends a head without an end.

    A client has some seconds for the head of a request, for the rest of a refused body, and to read a part of a
    response.

    Args:
        service: the service, for direct predictions.
        arguments: arguments of uvicorn's connection.

    Attributes:
        head_timeout: seconds for a head, and for the rest of a refused body.
        write_timeout: seconds for a part of a response.
        linger_pause, linger_time: seconds without data, and altogether, for the rest of a refused body after the last
            response.
    """

    head_timeout: float = 30
    write_timeout: float = WRITE_TIMEOUT
    linger_pause: float = 5
    linger_time: float = 30

    _receive_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _direct: DirectPrediction | None = None  # the last one
    _is_complete = False  # the last request, with its body
    _is_refused = False  # what comes after the last request, which is discarded
    _linger_end: float | None = None  # time until which data are discarded, after the last response
    _has_progress = False  # a head, a part of a body, or the end of a request was received
    _unparsed = 0  # bytes since the last progress

    def __init__(self, service: Service, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._service = service

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._start_receive_timer(self.head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the waiting, and the request in progress."""
        self._stop_receive_timer()
        self._stop_write_timer()
        self._unset_keepalive_if_required()
        self._leave_request()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request."""
        if self._linger_end is not None:
            if self.loop.time() < self._linger_end:
                self._start_receive_timer(self.linger_pause)
            return
        if self._is_refused:
            return
        self._has_progress = False
        self._unset_keepalive_if_required()
        self.parse(data)
        self._unparsed = 0 if self._has_progress else self._unparsed + len(data)
        if self._unparsed > _HEAD_LIMIT:
            self._refuse(431, f"the head of the request is larger than {_HEAD_LIMIT:,} bytes")
        elif self._receive_timer is None and self.timeout_keep_alive_task is None and not self._is_in_progress():
            # Empty lines between two requests have ended the waiting for the next one.
            self._start_receive_timer(self.head_timeout)

    def pause_writing(self) -> None:
        """Begin to wait until the client reads."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """End the waiting."""
        self._stop_write_timer()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of the head."""
        self._has_progress = True
        super().on_message_begin()
        if self._receive_timer is None:
            self._start_receive_timer(self.head_timeout)

    def on_headers_complete(self) -> None:
        """End the waiting, and start the request."""
        self._has_progress = True
        if self.is_offer():
            return
        self._stop_receive_timer()
        self._is_complete = False
        direct = self._direct_prediction()
        if direct is None:
            super().on_headers_complete()
            self.cycle.transport = _CycleTransport(self.transport, self._close)  # type: ignore[assignment]
        else:
            self._direct = self.cycle = direct  # type: ignore[assignment]
            direct.start()

    def on_body(self, body: bytes) -> None:
        """Give a part of the body to the request."""
        self._has_progress = True
        if isinstance(self.cycle, DirectPrediction):
            self.cycle.add(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Let the request know that its body is complete, or wait for the next one after an early response."""
        if self.is_offer():
            return
        self._has_progress = self._is_complete = True
        if self._linger_end is not None:
            self.transport.close()
        elif self.cycle.response_complete:
            self._stop_receive_timer()
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
        if self._linger_end is not None:
            return
        super().on_response_complete()
        if self.cycle.response_complete and not self._is_complete:
            self._start_receive_timer(self.head_timeout)

    def shutdown(self) -> None:
        """Close the connection, or let its request be the last one; the server calls it at its end."""
        if self._linger_end is None:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP."""
        self._refuse(400, "not a valid HTTP request")

    def _direct_prediction(self) -> DirectPrediction | None:
        """The request as a direct prediction; None if it needs an application, or must wait for an earlier response."""
        is_waiting = self.flow.write_paused or not (self.cycle is None or self.cycle.response_complete)
        is_shared = self._service.options.origins and any(name == b"origin" for name, _ in self.headers)
        if is_waiting or is_shared:  # with a page of another origin, which reads headers that the application adds
            return None
        request = find_direct(self.parser.get_method(), self.url, self.headers)
        if request is None:
            return None
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        return DirectPrediction(self._service, request, self._respond, keep_alive=keep_alive)

    def _respond(self, status: int, headers: Headers, content: bytes) -> None:
        """Send the response of a direct prediction, and go on with the next request."""
        # Another request may have come since.
        is_last = self._service.lifecycle.is_draining or (self._direct is not None and not self._direct.keep_alive)
        self._write(status, headers, content, keep_alive=not is_last)
        self.on_response_complete()

    def _is_in_progress(self) -> bool:
        """Return whether a request has no complete response."""
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, reason: str) -> None:
        """Respond to what cannot be read, and close the connection; a complete request before it is finished first."""
        is_complete, self._is_complete = self._is_complete, False  # the client may be sending more
        self._is_refused = True
        self._stop_receive_timer()
        if self._is_in_progress():
            if is_complete:
                self.cycle.keep_alive = False
                return
            if self.pipeline or getattr(self.cycle, "response_started", False):
                self.transport.abort()  # a response now would be that of another request
                return
            self._leave_request()
        headers, content = error_response(RequestError(status, reason))
        self._write(status, headers, content, keep_alive=False)

    def _leave_request(self) -> None:
        """End the request in progress, which is not needed any more."""
        if self._direct is not None:
            self._direct.disconnect()
        if self._is_in_progress():
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _write(self, status: int, headers: Headers, content: bytes, *, keep_alive: bool) -> None:
        fields = (*self.server_state.default_headers, *headers)
        head = b"".join([name + b": " + value + b"\r\n" for name, value in fields])
        closing = b"" if keep_alive else b"connection: close\r\n"
        self.transport.write(STATUS_LINE[status] + head + SECURITY_LINES + closing + b"\r\n" + content)
        if not keep_alive:
            self._close()

    def _close(self) -> None:
        """Close the connection after what was written; of a client that is still sending, only this direction.

        The system would reset the connection because of data without a reader, and the client would lose the
        response.
        """
        if self._is_complete or not self.transport.can_write_eof():
            self.transport.close()
        elif not self.transport.is_closing():
            self._linger_end = self.loop.time() + self.linger_time
            self.transport.write_eof()
            self._start_receive_timer(self.linger_pause)
        self._watch_writing()

    def _watch_writing(self, left: int | None = None) -> None:
        """Close the connection of a client that has read nothing for some time.

        Args:
            left: bytes that were not sent at the last look.
        """
        self._stop_write_timer()
        size = self.transport.get_write_buffer_size()
        if size == left:
            self.transport.abort()
        elif size:
            self._write_timer = self.loop.call_later(self.write_timeout, self._watch_writing, size)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _start_receive_timer(self, seconds: float) -> None:
        self._stop_receive_timer()
        self._receive_timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_receive_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None


class _CycleTransport:
    """Transport as uvicorn's cycle of a request uses it; the protocol closes it.

    Args:
        transport: the transport.
        close: function that closes the connection.
    """

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, close
