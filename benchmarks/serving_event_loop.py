"""Processor time of the event loop of `levit serve` for one request, without decoding and computing the image.

    python benchmarks/serving_event_loop.py [--requests 200] [--rounds 20]

The request goes through a connection of the server in memory: directly and, with another parameter, through FastAPI.
The least time is printed, which depends least on other programs.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from levit.runtime.opened_model import ModelOptions
from levit.serving.http_protocol import HttpProtocol
from levit.serving.image_threads import ImageThreads
from levit.serving.image_work import AnyWork
from levit.serving.options import ServiceOptions
from levit.serving.served_model import NamedModel
from levit.serving.server import server_config
from levit.serving.service import Service
from serving_tools import http_request

PHOTO = Path(__file__).resolve().parent.parent / "examples" / "espresso.jpg"
PATHS = {"direct": "/predictions/default", "FastAPI": "/predictions/default?timeout=30"}
PART = 65_536  # bytes that a connection gets at once
CONTENT = b"{}" * 200


class Transport(asyncio.Transport):
    """Connection that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes) -> None:  # type: ignore[override]
        """Keep a part of a response."""
        self.written += data

    def is_closing(self) -> bool:
        """Never."""
        return False


def add(work: AnyWork) -> None:
    """Finish the images of a request at once, as threads would do later."""
    asyncio.get_running_loop().call_soon(work.future.set_result, CONTENT)


async def measure(requests: int, rounds: int) -> dict[str, float]:
    """Microseconds for one request, by the way that it goes."""
    service = Service([NamedModel("default", ModelOptions(None))], ServiceOptions())
    await service.load_in_thread()
    config = server_config(service)
    config.load()
    ImageThreads.add = lambda self, work: add(work)  # type: ignore[method-assign]
    state = uvicorn.server.ServerState()
    protocol = HttpProtocol(service, config=config, server_state=state, app_state={})
    transport = Transport()
    protocol.connection_made(transport)
    result = {}
    for name, path in PATHS.items():
        request = http_request(path, PHOTO.read_bytes())
        result[name] = min([await seconds(protocol, transport, request, requests) for _ in range(rounds)]) * 1e6
    service.close()
    return result


async def seconds(protocol: Any, transport: Transport, request: bytes, count: int) -> float:
    """Seconds of one request, of several one after the other."""
    start = time.thread_time()
    for _ in range(count):
        for position in range(0, len(request), PART):
            protocol.data_received(request[position : position + PART])
        while not transport.written.endswith(CONTENT):
            await asyncio.sleep(0)
        transport.written = b""
    return (time.thread_time() - start) / count


def main() -> None:
    """Measure and print both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    for name, value in uvloop.run(measure(options.requests, options.rounds)).items():
        print(f"{name}: {value:.0f} µs of the event loop for one request")


if __name__ == "__main__":
    main()
