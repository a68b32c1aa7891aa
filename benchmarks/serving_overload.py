"""Overload of `levit serve`: requests at a given rate from many connections, and the time of responses with 429.

One process sends the requests. Its own event loop is busy, so that the times of its responses contain its delay; a
client on another machine would not see it. Another process, which only waits for one response at a time, measures.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import statistics
import tempfile
import time
from collections import Counter
from concurrent.futures import Future, ProcessPoolExecutor
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
MEASURING_INTERVAL = 0.05  # seconds between the requests of the process that measures
SINGLE_IMAGES = 100
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


@dataclass
class Load:
    """Requests of one run.

    Attributes:
        requests: the requests, as they are sent.
        expected: the labels of each.
        statuses, refused, wrong: what came back: numbers of responses by status, seconds of those with 429, and
            number of those with other labels than expected.
    """

    requests: list[bytes]
    expected: list[Any]
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


@dataclass
class Probes:
    """Responses under overload to single requests: seconds of those with 429, and of whether the service is ready."""

    refused: list[float] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


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
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            sending = process.submit(send_load, server.port, FACTOR * capacity, Load(requests, expected), seconds)
            probes = measure_responses(server.port, requests, sending)
            load = sending.result()
        after = median_milliseconds(server, requests)
        gauges = server.gauges()
    return {
        "seconds": seconds,
        "capacity, images per second": capacity,
        "requests per second": sum(load.statuses.values()) / seconds,
        "responses by status": dict(load.statuses),
        "wrong predictions": load.wrong,
        "milliseconds of 429 (50 %, 99 %, largest)": _milliseconds(probes.refused),
        "milliseconds of /readyz": _milliseconds(probes.ready),
        "/readyz by status": dict(probes.statuses),
        "the same in the busy process of the load": _milliseconds(load.refused),
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


def measure_responses(port: int, requests: list[bytes], sending: Future[Load]) -> Probes:
    """Send requests one after the other, while another process sends the load."""
    probes = Probes()
    following = itertools.cycle(requests)
    with Client(port) as client:
        while not sending.done():
            response = client.send(next(following))
            if response.status == 429:
                probes.refused.append(response.seconds)
            response = client.send(READY)
            probes.ready.append(response.seconds)
            probes.statuses[str(response.status)] += 1
            time.sleep(MEASURING_INTERVAL)
    return probes


def send_load(port: int, rate: float, load: Load, seconds: float) -> Load:
    """Send requests at a rate from four times as many connections as the queue has images, in a process of its own."""
    uvloop.run(_send_all(port, FACTOR * QUEUE, rate, load, seconds))
    return load


def _milliseconds(seconds: list[float]) -> list[float]:
    """Median, 99 % and largest of times."""
    quantiles = statistics.quantiles(seconds, n=100) if len(seconds) > 1 else [0.0] * 99
    return [1000 * value for value in (quantiles[49], quantiles[98], max(seconds, default=0.0))]


async def _send_all(port: int, connections: int, rate: float, load: Load, seconds: float) -> None:
    interval = connections / rate
    start = time.monotonic()
    starts = [start + interval * number / connections for number in range(connections)]
    await asyncio.gather(
        *(_send(port, number, first, interval, load, start + seconds) for number, first in enumerate(starts))
    )


async def _send(port: int, number: int, start: float, interval: float, load: Load, end: float) -> None:
    """Send requests on one connection, one in each interval unless the response to the last one takes longer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    index = number % len(load.requests)
    while (now := time.monotonic()) < end:
        await asyncio.sleep(max(0.0, start - now))
        start = max(start + interval, time.monotonic())
        sent = time.perf_counter()
        writer.write(load.requests[index])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        load.add(index, int(head[9:12]), body, time.perf_counter() - sent)
    writer.close()
