"""Requests to an application in this process, of which a test controls every part."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Response:
    """Response of the application."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """Client of one request: sends the parts of its body, and disconnects when the test says so."""

    def __init__(self, parts: Iterable[bytes], *, is_complete: bool = True) -> None:
        parts = list(parts) or [b""]
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for index, part in enumerate(parts):
            more = not is_complete or index + 1 < len(parts)
            self._messages.put_nowait({"type": "http.request", "body": part, "more_body": more})
        self.response = Response()

    def disconnect(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        return await self._messages.get()

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.response.status = message["status"]
            self.response.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            self.response.body += message.get("body", b"")


async def request(
    application: Any,
    method: str,
    path: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    connection: Connection | None = None,
) -> Response:
    """Send a request and wait for its response."""
    connection = connection or Connection([body])
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await application(scope, connection.receive, connection.send)
    return connection.response


async def until(is_true: Callable[[], bool]) -> None:
    """Let the event loop run until a condition is true; fail where it never is."""
    async with asyncio.timeout(600):
        while not is_true():
            await asyncio.sleep(0)


def metric(service: Any, name: str) -> float:
    """Value of a metric, with its labels in braces as Prometheus writes them."""
    lines = (line.rpartition(" ") for line in service.metrics.text().decode().splitlines())
    return next((float(value) for key, _, value in lines if key == name), 0.0)
