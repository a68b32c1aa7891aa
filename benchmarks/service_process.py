"""Servers under measurement: started in processes of their own, with their processor time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_START_TIMEOUT = 300  # seconds


class Server:
    """Process that serves HTTP.

    Args:
        command: the command; "{port}" is replaced by a free port.
        ready: path that responds with 200 once it is ready.
        environment: further environment variables.
    """

    def __init__(self, command: Sequence[str], ready: str, environment: Mapping[str, str] | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        arguments = [part.format(port=self.port) for part in command]
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, **(environment or {})}
        )
        self._wait(ready)

    @property
    def address(self) -> str:
        """Address of the server."""
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> HTTPConnection:
        """Connection to the server."""
        return HTTPConnection("127.0.0.1", self.port, timeout=120)

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a path."""
        connection = self.connect()
        connection.request("GET", path)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, content

    def gauges(self) -> dict[str, float]:
        """Metrics of `levit serve` without their histograms, by name."""
        lines = self.get("/metrics")[1].decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#") and "_bucket" not in line)
        return {name: float(value) for name, _, value in pairs}

    def cpu_seconds(self) -> float:
        """Processor time of the process and its children that have ended."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def memory(self) -> int:
        """Resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="utf-8").split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def __enter__(self) -> Self:
        """Return the server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the process."""
        self.process.kill()
        self.process.wait()

    def _wait(self, ready: str) -> None:
        end = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < end and self.process.poll() is None:
            try:
                if self.get(ready)[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.2)
        self.process.kill()
        errors = self.process.stderr.read() if self.process.stderr is not None else b""
        raise RuntimeError(errors.decode()[-2000:])


def levit_server(*options: str) -> Server:
    """Start `levit serve` with the embedded model."""
    command = [sys.executable, "-m", "levit", "serve", "--port", "{port}", "--drain", "0", *options]
    return Server(command, "/readyz")


def write_results(name: str, values: object) -> None:
    """Write results as JSON to the folder of recorded results."""
    file = Path(__file__).parent / "results" / name
    file.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    print(f"written: {file}")
