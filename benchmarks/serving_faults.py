"""`levit serve` under overload, faults and kills: what must never happen, counted.

    python benchmarks/serving_faults.py --record                  # about 20 minutes
    python benchmarks/serving_faults.py overload --seconds 5      # one or several of the runs

| run | what is checked |
| --- | --- |
| overload | four times as many requests as the service computes, for a minute: each response is the right prediction or 429, whose time is measured; afterwards one image is as fast as before |
| memory | growth of the resident memory over 20,000 requests, after 2,000 |
| connections | 1,000 idle connections, slow clients, half-sent heads and bodies, disconnects at every point: health responds, gauges return to 0 |
| mutations | 10,000 damaged images, forms, JSON bodies and tensors: no status of 500, no request without a response |
| schema | schemathesis, from the OpenAPI: every response is described, none is 500 |
| kills | SIGTERM under load: each request that was accepted has its response; `kill -9` and a new start |
"""  # noqa: E501 (the table)

from __future__ import annotations

import argparse
import json
import random
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from typing import Any

from recording import add_record_option
from service_process import Server, levit_server, stop_servers_on_sigterm
from serving_mutations import CONTENTS, run_mutations, run_schema
from serving_overload import run_overload
from serving_tables import record
from serving_tools import Client, http_request

PATH = "/predictions/default"
CLIENTS = 8
IDLE, HALF_SENT, SLOW = 1_000, 200, 20
PART = 2_000  # bytes that a slow client sends at once

REQUESTS = [http_request(PATH, content) for content in CONTENTS]


def run_memory(requests: int) -> dict[str, Any]:
    """Requests one after the other on eight connections."""
    with levit_server() as server:

        def send(count: int) -> None:
            with Client(server.port) as client:
                for index in range(count):
                    status = client.send(REQUESTS[index % len(REQUESTS)]).status
                    if status != 200:
                        raise RuntimeError(f"the status is {status}")

        def send_all(count: int) -> int:
            with ThreadPoolExecutor(CLIENTS) as pool:
                list(pool.map(send, [count // CLIENTS] * CLIENTS))
            return server.memory()

        before, after = send_all(requests // 10), send_all(requests)
    growth = f"{100 * (after / before - 1):.2f} %"
    return {"requests": requests, "megabytes before and after": [before / 1e6, after / 1e6], "growth": growth}


def run_connections(disconnects: int) -> dict[str, Any]:
    """Clients that are slow, stop in the middle, or disconnect."""
    generator = random.Random(0)  # noqa: S311 (no secret)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with levit_server("--timeout", "10") as server:
        address = ("127.0.0.1", server.port)
        idle = [socket.create_connection(address) for _ in range(IDLE)]
        half_sent = [socket.create_connection(address) for _ in range(HALF_SENT)]
        for connection in half_sent:
            connection.sendall(REQUESTS[0][: generator.randrange(1, len(REQUESTS[0]))])
        for _ in range(disconnects):
            with socket.create_connection(address) as connection:
                connection.sendall(REQUESTS[0][: generator.randrange(len(REQUESTS[0]) + 1)])
        slow = _send_slowly(address)
        health = Counter(server.get("/healthz")[0] for _ in range(20))
        with Client(server.port) as client:
            status = client.send(REQUESTS[0]).status
        timed_out: Counter[str] = Counter()
        for connection in half_sent:
            connection.settimeout(120)
            timed_out[connection.recv(1_000)[9:12].decode() or "closed"] += 1
        gauges = wait_for_rest(server)
        for connection in (*idle, *half_sent):
            connection.close()
    return {
        "idle connections": IDLE, "slow clients by status": slow, "half-sent by status": dict(timed_out),
        "disconnects": disconnects, "health by status": dict(health), "status of a prediction": status,
        "requests in progress and images in the queue at the end":
            [gauges["levit_requests_in_progress"] - 1, gauges["levit_queue_images"]],
    }  # fmt: skip


def _send_slowly(address: tuple[str, int]) -> dict[str, int]:
    """Statuses of clients that send their bodies in small parts, over about three seconds."""
    connections = [socket.create_connection(address) for _ in range(SLOW)]
    parts = range(0, len(REQUESTS[0]), PART)
    for start in parts:
        for connection in connections:
            connection.sendall(REQUESTS[0][start : start + PART])
        time.sleep(3 / len(parts))
    statuses = Counter(connection.recv(1_000)[9:12].decode() for connection in connections)
    for connection in connections:
        connection.close()
    return dict(statuses)


def wait_for_rest(server: Server) -> dict[str, float]:
    """Metrics when nothing is in progress but their own request, at most a minute later."""
    end = time.monotonic() + 60
    while True:
        gauges = server.gauges()
        if (gauges["levit_requests_in_progress"], gauges["levit_queue_images"]) == (1, 0) or time.monotonic() > end:
            return gauges
        time.sleep(0.1)


def run_kills(kills: int) -> dict[str, Any]:
    """SIGTERM while eight connections send; a server that is killed while they send, and started again."""
    statuses: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    for _ in range(kills):
        with levit_server() as server, ThreadPoolExecutor(CLIENTS) as pool:
            running = [pool.submit(_send_until_refused, server) for _ in range(CLIENTS)]
            time.sleep(1)
            server.process.send_signal(signal.SIGTERM)
            codes[server.process.wait(60)] += 1
            for future in running:
                statuses += future.result()
    with levit_server() as server, ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(_send_until_refused, server) for _ in range(CLIENTS)]
        time.sleep(1)
        server.process.kill()
        for future in running:
            future.result()
    with levit_server() as server, Client(server.port) as client:
        status = client.send(REQUESTS[0]).status
    return {"terminated": kills, "responses": dict(statuses), "exit codes": dict(codes), "status after kill -9": status}


def _send_until_refused(server: Server) -> Counter[str]:
    """Responses on one connection until it is closed; one that closes between two requests has accepted nothing."""
    statuses: Counter[str] = Counter()
    connection = server.connect()
    while True:
        try:
            _request(connection)
        except (OSError, HTTPException):
            return statuses
        try:
            response = connection.getresponse()
            response.read()
        except (ConnectionResetError, BrokenPipeError, HTTPException):
            return statuses + Counter({"closed before it was read": 1})
        statuses[str(response.status)] += 1
        if response.status != 200:
            return statuses


def _request(connection: HTTPConnection) -> None:
    connection.request("POST", PATH, CONTENTS[0])


RUNS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "overload": lambda options: run_overload(options.seconds),
    "memory": lambda options: run_memory(options.requests),
    "connections": lambda options: run_connections(options.disconnects),
    "mutations": lambda options: run_mutations(options.mutations),
    "schema": lambda options: run_schema(options.examples),
    "kills": lambda options: run_kills(options.kills),
}


def main() -> None:
    """Run what is named, or everything, and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--disconnects", type=int, default=500)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--kills", type=int, default=10)
    add_record_option(parser)
    options = parser.parse_args()
    stop_servers_on_sigterm()
    results = {}
    for name in options.runs or RUNS:
        results[name] = RUNS[name](options)
        print(name, json.dumps(results[name]), flush=True)
        record("faults", {name: results[name]}, is_recorded=options.record)


if __name__ == "__main__":
    main()
