"""Programs that the measurements of `levit serve` need, installed on first use, and a client that costs little."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from recording import WORK


def find_wrk() -> str:
    """Path of `wrk`, which sends requests as fast as the responses come; apt installs it, which needs root."""
    if shutil.which("wrk") is None:
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", "wrk"]):
            subprocess.run(["apt-get", *arguments], check=True, stdout=subprocess.DEVNULL)
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("wrk is missing: install it")
    return found


def python_with(package: str, *, is_shared: bool) -> str:
    """Interpreter of an environment in the work folder with a package from the index, made on first use.

    Args:
        package: name of the package.
        is_shared: whether this interpreter's packages can be imported there as well.
    """
    folder = WORK / package
    python = folder / "bin" / "python"
    complete = folder / "complete"
    if not complete.exists():
        venv.create(folder, clear=True, with_pip=True)
        if is_shared:  # a line that begins with "import" is executed; this one also finds editable packages
            (site_packages,) = folder.glob("lib/python*/site-packages")
            line = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
            (site_packages / "shared.pth").write_text(line, encoding="utf-8")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]
        subprocess.run(install, check=True, stdout=sys.stderr)
        complete.touch()
    return str(python)


def http_request(path: str, content: bytes, kind: str = "image/jpeg") -> bytes:
    """A POST request as it is sent."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


class Response(NamedTuple):
    """Response of a server, and the seconds that it took."""

    status: int
    body: bytes
    seconds: float


class Client:
    """One connection without the processor time of an HTTP library.

    Args:
        port: port of a server on this machine, whose responses have a Content-Length.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> Response:
        """Send a request, and wait for its response."""
        start = time.perf_counter()
        self._socket.sendall(request)
        content = b""
        while (head := content.partition(b"\r\n\r\n"))[1] == b"" or len(head[2]) < _content_length(head[0]):
            part = self._socket.recv(65_536)
            if not part:
                raise ConnectionResetError("the connection was closed before the end of the response")
            content += part
        return Response(int(content[9:12]), head[2], time.perf_counter() - start)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._socket.close()


def random_arrivals(port: int, requests: Sequence[bytes], rate: float, seconds: float, connections: int) -> list[float]:
    """Latencies of requests that arrive at random times, each from the time of its arrival until its response.

    A request whose connections are all busy waits, and that counts: the latencies contain no coordinated omission.

    Args:
        port: port of a server on this machine.
        requests: the requests, as they are sent, in turn.
        rate: mean number of arrivals in a second, of a Poisson process.
        seconds: duration.
        connections: number of connections.

    Returns:
        Seconds of each request.
    """
    gaps = np.random.default_rng(0).exponential(1 / rate, round(rate * seconds))
    times = (time.perf_counter() + 0.1 + np.cumsum(gaps)).tolist()
    arrivals = zip(times, itertools.cycle(requests), strict=False)
    latencies: list[float] = []
    lock = threading.Lock()

    def send() -> None:
        with Client(port) as client:
            while True:
                with lock:
                    next_one = next(arrivals, None)
                if next_one is None:
                    return
                arrival, request = next_one
                time.sleep(max(0.0, arrival - time.perf_counter()))
                response = client.send(request)
                if response.status != HTTPStatus.OK:
                    raise RuntimeError(f"status {response.status}")
                latencies.append(time.perf_counter() - arrival)

    with ThreadPoolExecutor(connections) as pool:
        for sending in [pool.submit(send) for _ in range(connections)]:
            sending.result()
    return latencies


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
