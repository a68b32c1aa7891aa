"""Servers under measurement: started in processes of their own, with their processor time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile
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
        self._errors = TemporaryFile()  # noqa: SIM115  (as long as the process)
        self.process = subprocess.Popen(
            arguments,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # so that its workers can be stopped, too
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
        """Processor time of the process and of all processes that it has started."""
        return sum(sum(map(int, fields[11:15])) for fields in self._processes()) / _TICKS

    def _processes(self) -> Iterator[list[str]]:
        """Fields of /proc/PID/stat, from the state on, of all processes of the session."""
        for file in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = file.read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[3]) == self.process.pid:
                yield fields

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
        """Stop the process and its workers."""
        self._stop()

    def _stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
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
        self._stop()
        self._errors.seek(0)
        raise RuntimeError(f"the server is not ready: {self._errors.read().decode()[-2000:]}")


def stop_servers_on_sigterm() -> None:
    """Let SIGTERM, of `timeout` for instance, end this process as an exception, so that its servers are stopped."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def levit_server(*options: str) -> Server:
    """Start `levit serve` with the embedded model."""
    command = [sys.executable, "-m", "levit", "serve", "--port", "{port}", "--drain", "0", *options]
    return Server(command, "/readyz")
