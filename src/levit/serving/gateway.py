"""The outermost layer of the application: API keys, security headers, metrics, and no response with a traceback."""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from levit.errors import LevitError, printable
from levit.logs import get_logger
from levit.serving.errors import RequestError, as_request_error
from levit.serving.metrics import MODEL_KEY as MODEL_KEY
from levit.serving.security import SECURITY_HEADERS
from levit.serving.service import Service

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
DirectRoutes = Callable[[Scope], Application | None]


class Gateway:
    """Application around another one.

    Args:
        application: the routes.
        service: the service.
        direct: function from the scope of a request to an application that responds faster, or None.
    """

    def __init__(self, application: Application, service: Service, direct: DirectRoutes = lambda scope: None) -> None:
        self._application = application
        self._service = service
        self._direct = direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        metrics = self._service.metrics
        has_body = scope["method"] != "HEAD"
        if not has_body:  # every path that GET reads
            scope = {**scope, "method": "GET"}
        response = _Response(send, is_last=self._service.lifecycle.is_ending, has_body=has_body)
        start = time.perf_counter()
        metrics.in_progress.inc()
        try:
            self._service.api_keys.check(scope["path"], scope["headers"])
            respond = self._direct(scope) or self._application
            await respond(scope, receive, response.send)
        except LevitError as error:
            await _send_error(response, as_request_error(error))
        except Exception as error:
            _log(scope, error)
            if response.status is None:
                await _send_error(response, RequestError(500, "internal error"))
        finally:
            metrics.in_progress.dec()
            metrics.count_request(scope.get(MODEL_KEY, ""), response.status or 500, time.perf_counter() - start)


class _Response:
    """Response of one request: its status, with further headers, and no body for HEAD."""

    def __init__(self, send: Send, *, is_last: bool, has_body: bool) -> None:
        self._send = send
        self._is_last, self._has_body = is_last, has_body
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS]
            if self._is_last:
                message["headers"].append((b"connection", b"close"))
        elif not self._has_body:
            message["body"] = b""
        await self._send(message)


def error_content(reason: str) -> bytes:
    """Content of the response with an error, JSON."""
    return json.dumps({"error": printable(reason)}, ensure_ascii=False).encode()


async def _send_error(response: _Response, error: RequestError) -> None:
    content = error_content(error.reason)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await response.send({"type": "http.response.start", "status": error.status, "headers": headers})
    await response.send({"type": "http.response.body", "body": content})


def _log(scope: Scope, error: Exception) -> None:
    """Log an error of the program itself: its type and place, and nothing of the request but its path."""
    if os.environ.get("LEVIT_DEBUG", "0") not in ("", "0"):
        text = "".join(traceback.format_exception(error))
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} at {os.path.basename(frame.filename)}:{frame.lineno}"  # noqa: PTH119
    get_logger().error("%s", printable(f"{scope['method']} {scope['path']}: {text}"))
