"""The outermost layer of the application: access, security headers, metrics, and no response with a traceback."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from levit.serving.errors import RequestError, error_response, request_error
from levit.serving.lifecycle import Lifecycle
from levit.serving.metrics import MODEL_KEY
from levit.serving.security import SECURITY_HEADERS, check_origin
from levit.serving.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gateway:
    """Application around another one.

    Args:
        application: the routes.
        service: the service.
    """

    def __init__(self, application: Application, service: Service) -> None:
        self._application = application
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        metrics = self._service.metrics
        has_body = scope["method"] != "HEAD"
        if not has_body:  # every path that GET reads
            scope = {**scope, "method": "GET"}
        response = _Response(send, self._service.lifecycle, has_body=has_body)
        start = time.perf_counter()
        metrics.requests_in_progress += 1
        try:
            self._service.api_keys.check(scope["path"], scope["headers"])
            if scope["method"] == "POST":  # a link on another page may be followed
                check_origin(scope["headers"], self._service.options.origins)
            await self._application(scope, receive, response.send)
        except Exception as error:
            refusal = request_error(error, scope["method"], scope["path"])
            if response.status is None:
                await _send_error(response, refusal)
        finally:
            metrics.requests_in_progress -= 1
            metrics.count_request(scope.get(MODEL_KEY, ""), response.status or 500, time.perf_counter() - start)


class _Response:
    """Response of one request: its status, with further headers, and no body for HEAD."""

    def __init__(self, send: Send, lifecycle: Lifecycle, *, has_body: bool) -> None:
        self._send = send
        self._lifecycle, self._has_body = lifecycle, has_body
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            if self._lifecycle.is_draining:  # which may have begun after the request
                message["headers"].append((b"connection", b"close"))
        elif not self._has_body:
            message["body"] = b""
        await self._send(message)


async def _send_error(response: _Response, error: RequestError) -> None:
    headers, content = error_response(error)
    await response.send({"type": "http.response.start", "status": error.status, "headers": headers})
    await response.send({"type": "http.response.body", "body": content})
