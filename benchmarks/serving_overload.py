"""Overload of `levit serve`: requests at a given rate from many connections, with the time of each response."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from service_process import Server, levit_server
from serving import PATH, run_wrk
from serving_tools import Client, http_request

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FILES = sorted(EXAMPLES.glob("*.jpg"))
QUEUE = 64
FACTOR = 4  # connections per place of the queue, and requests per second as a multiple of what the server computes
PROBE_SECONDS = 3
SINGLE_IMAGES = 100


@dataclass
class Load:
    """Requests of one run.

    Attributes:
        requests: the requests, as they are sent.
        expected: the labels of each.
        end: time at which the last requests are sent, by `time.monotonic`.
        statuses, refused, wrong: what came back: numbers of responses by status, seconds of those with 429, and
            number of those with other labels than expected.
    """

    requests: list[bytes]
    expected: list[Any]
    end: float
    statuses: Counter[str] = field(default_factory=Counter)
    refused: list[float] = field(default_factory=list)
    wrong: int = 0

    def add(self, index: int, status: int, body: bytes, seconds: float) -> None:
        """Count a response."""
        self.statuses[str(status)] += 1
        if status == 429:
            self.refused.append(seconds)
        elif status == 200:
            self.wrong += json.loads(body)["labels"] != self.expected[index]


def run_overload(seconds: float) -> dict[str, Any]:
    """Four times as many requests per second as the server computes, from four times as many connections as its queue.

    Each response must be the right prediction or 429; afterwards one image is as fast as before.
    """
    requests = [http_request(PATH, file.read_bytes()) for file in FILES]
    with levit_server("--queue", str(QUEUE)) as server:
        with Client(server.port) as client:
            expected = [json.loads(client.send(request).body)["labels"] for request in requests]
        capacity = measure_capacity(server)
        before = median_milliseconds(server, requests)
        load = Load(requests, expected, time.monotonic() + seconds)
        uvloop.run(_send_all(server.port, FACTOR * QUEUE, FACTOR * capacity, load))
        after = median_milliseconds(server, requests)
        gauges = server.gauges()
    quantiles = statistics.quantiles(load.refused, n=100) if len(load.refused) > 1 else [0.0] * 99
    return {
        "seconds": seconds,
        "capacity, images per second": capacity,
        "requests per second": sum(load.statuses.values()) / seconds,
        "responses by status": dict(load.statuses),
        "wrong predictions": load.wrong,
        "milliseconds of 429 (50 %, 99 %, largest)": [
            1000 * value for value in (quantiles[49], quantiles[98], max(load.refused, default=0.0))
        ],
        "milliseconds of one image before and after": [before, after],
        "images in the queue at the end": gauges["levit_queue_images"],
    }


def measure_capacity(server: Server) -> float:
    """Images per second that a server computes."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as names:
        names.write("\n".join(map(str, FILES)) + "\n")
        names.flush()
        return run_wrk(server.address, PATH, Path(names.name), PROBE_SECONDS)


def median_milliseconds(server: Server, requests: list[bytes]) -> float:
    """Median time of one image after the other."""
    with Client(server.port) as client:
        times = [client.send(requests[index % len(requests)]).seconds for index in range(SINGLE_IMAGES)]
    return 1000 * statistics.median(times)


async def _send_all(port: int, connections: int, rate: float, load: Load) -> None:
    interval = connections / rate
    start = time.monotonic()
    await asyncio.gather(
        *(_send(port, number, start + interval * number / connections, interval, load) for number in range(connections))
    )


async def _send(port: int, number: int, start: float, interval: float, load: Load) -> None:
    """Send requests on one connection, one in each interval unless the response to the last one takes longer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    index = number % len(load.requests)
    while (now := time.monotonic()) < load.end:
        await asyncio.sleep(max(0.0, start - now))
        start = max(start + interval, time.monotonic())
        sent = time.perf_counter()
        writer.write(load.requests[index])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        load.add(index, int(head[9:12]), body, time.perf_counter() - sent)
    writer.close()
