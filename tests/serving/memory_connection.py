"""Connections of the server in memory, so that a test controls every part of a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.server import ServerState

from levit.serving.http_protocol import HttpProtocol
from levit.serving.server import server_config
from levit.serving.service import Service


class MemoryTransport(asyncio.Transport):
    """Transport whose `response` is complete with the last byte of it, or with the loss of the connection."""

    def __init__(self, *, has_body: bool) -> None:
        super().__init__()
        self.is_closed = self.has_eof = False
        self._has_body = has_body
        self.expect_response()

    def expect_response(self) -> None:
        """Wait for the first response, or for the next one."""
        self.response = asyncio.get_running_loop().create_future()
        self._content = b""

    def write(self, data: bytes) -> None:
        assert not self.has_eof
        self._content += data
        head, end, body = self._content.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if end and len(body) >= int(fields.get(b"content-length", 0)) * self._has_body:
            self.response.set_result((int(head.split()[1]), list(fields.items()), body))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def connect(service: Service, *, has_body: bool = True) -> tuple[HttpProtocol, MemoryTransport]:
    """Connection of the server of a service; `has_body`: whether its response has a body."""
    config = server_config(service)
    config.load()
    transport = MemoryTransport(has_body=has_body)
    protocol = HttpProtocol(service, config=config, server_state=ServerState(), app_state={})
    protocol.connection_made(transport)
    return protocol, transport


Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


def connections(service: Service) -> Callable[[dict[str, Any], Receive, Send], Awaitable[None]]:
    """An application that sends each request over a connection of the server of a service."""

    async def send_request(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        protocol, transport = connect(service, has_body=scope["method"] != "HEAD")
        feeding = asyncio.create_task(_feed(protocol, scope, receive, transport))
        try:
            response = await transport.response
        finally:
            feeding.cancel()
        await asyncio.gather(*protocol.tasks)
        if response is None:  # disconnected
            return
        status, headers, body = response
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return send_request


async def _feed(protocol: HttpProtocol, scope: dict[str, Any], receive: Receive, transport: MemoryTransport) -> None:
    """Send the head, and the parts of the body as chunks unless its length is in the head."""
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    is_chunked = all(name != b"content-length" for name, _ in scope["headers"])
    headers = [(b"host", b"x"), *scope["headers"], *([(b"transfer-encoding", b"chunked")] if is_chunked else [])]
    lines = [b"%s %s%s HTTP/1.1" % (scope["method"].encode(), scope["raw_path"], query)]
    protocol.data_received(b"\r\n".join([*lines, *(b"%s: %s" % pair for pair in headers), b"", b""]))
    is_complete = False
    while not is_complete:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        if part := message["body"]:
            protocol.data_received(b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part)
        is_complete = not message["more_body"]
    if is_complete:
        protocol.data_received(b"0\r\n\r\n" if is_chunked else b"")
        while (await receive())["type"] != "http.disconnect":
            pass
    protocol.connection_lost(None)
    if not transport.response.done():
        transport.response.set_result(None)
