"""Real server in a process of its own, and its client."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.serving.requests import Response


class ServerProcess:
    """`levit serve` on a free port; ready after its construction."""

    def __init__(self, *arguments: object, cache: Path, environment: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "levit", "serve", "--port", "0", "--json", *map(str, arguments)]
        variables = os.environ | {"LEVIT_CACHE": str(cache)} | (environment or {})
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdout=pipe, stderr=pipe, env=variables, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.description = json.loads(line)
        address = urlsplit(self.description["url"])
        self.host, self.port = str(address.hostname), int(address.port or 0)

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        connection = HTTPConnection(self.host, self.port, timeout=600)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, fields, response.read())
        finally:
            connection.close()

    def post(self, path: str, value: Any) -> Response:
        return self.request("POST", path, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=600)

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal, and return the exit code and what was written on standard error."""
        self.process.send_signal(kind)
        _, errors = self.process.communicate(timeout=600)
        return self.process.returncode, errors


def read_all(connection: socket.socket) -> bytes:
    """What a server sends until it closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def form(files: Iterable[tuple[str, bytes]]) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a form with files."""
    parts = [
        b'--BOUNDARY\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + b"--BOUNDARY--\r\n", {"Content-Type": "multipart/form-data; boundary=BOUNDARY"}
