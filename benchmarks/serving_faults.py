"""`levit serve` under overload, faults and kills: what must never happen, counted.

    python benchmarks/serving_faults.py --record                  # about 15 minutes
    python benchmarks/serving_faults.py overload --seconds 5      # one of overload, memory, connections, mutations, kills

| run | what is checked |
| --- | --- |
| overload | four times as many connections as the queue takes: each response is the right prediction or 429, whose time is measured; afterwards one image is as fast as before |
| memory | growth of the resident memory over 20,000 requests, after 2,000 |
| connections | 1,000 idle connections, half-sent heads and bodies, disconnects at every point: health responds, gauges return to 0 |
| mutations | 10,000 damaged images, forms and JSON bodies: no status of 500, no request without a response |
| kills | SIGTERM under load: each request that was sent has its response; `kill -9` and a new start |
"""  # noqa: E501 (the table)

from __future__ import annotations

import argparse
import base64
import json
import random
import signal
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from service_process import Server, levit_server, write_results

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PATH = "/predictions/default"
CONTENTS = [file.read_bytes() for file in sorted(EXAMPLES.glob("*.jpg"))]


def post(connection: HTTPConnection, content: bytes, kind: str = "image/jpeg", path: str = PATH) -> tuple[int, bytes]:
    """Status and body of a request."""
    connection.request("POST", path, content, {"Content-Type": kind})
    response = connection.getresponse()
    return response.status, response.read()


def labels(body: bytes) -> object:
    """The labels of a prediction."""
    return json.loads(body).get("labels")


def run_overload(options: argparse.Namespace) -> dict[str, Any]:
    """Connections four times as many as the queue takes, each sending one request after the other."""
    capacity = 16
    statuses: Counter[int] = Counter()
    refused_seconds: list[float] = []
    wrong = 0
    lock = threading.Lock()
    with levit_server("--queue", str(capacity)) as server:
        expected = [labels(post(server.connect(), content)[1]) for content in CONTENTS]
        before = median_seconds(server)
        end = time.monotonic() + options.seconds

        def send(number: int) -> None:
            nonlocal wrong
            connection = server.connect()
            while time.monotonic() < end:
                start = time.perf_counter()
                status, body = post(connection, CONTENTS[number % len(CONTENTS)])
                seconds = time.perf_counter() - start
                with lock:
                    statuses[status] += 1
                    wrong += status == 200 and labels(body) != expected[number % len(CONTENTS)]
                    if status == 429:
                        refused_seconds.append(seconds)

        with ThreadPoolExecutor(4 * capacity) as pool:
            list(pool.map(send, range(4 * capacity)))
        after = median_seconds(server)
        gauges = server.gauges()
    quantiles = statistics.quantiles(refused_seconds, n=100) if len(refused_seconds) > 1 else [0.0] * 99
    return {
        "statuses": dict(statuses),
        "wrong predictions": wrong,
        "milliseconds of 429, median and 99 %": [1000 * quantiles[49], 1000 * quantiles[98]],
        "milliseconds of one image, before and after": [1000 * before, 1000 * after],
        "queue at the end": gauges["levit_queue_images"],
    }


def median_seconds(server: Server, count: int = 50) -> float:
    """Median time of one image after the other."""
    connection = server.connect()
    times = []
    for index in range(count):
        start = time.perf_counter()
        post(connection, CONTENTS[index % len(CONTENTS)])
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def run_memory(options: argparse.Namespace) -> dict[str, Any]:
    """Requests one after the other on eight connections."""
    with levit_server() as server:

        def send(count: int) -> None:
            connection = server.connect()
            for index in range(count):
                post(connection, CONTENTS[index % len(CONTENTS)])

        def send_all(count: int) -> int:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(send, [count // 8] * 8))
            return server.memory()

        before, after = send_all(options.requests // 10), send_all(options.requests)
    return {"requests": options.requests, "megabytes": [before / 1e6, after / 1e6], "growth": after / before - 1}


def run_connections(options: argparse.Namespace) -> dict[str, Any]:
    """Clients that are slow, stop in the middle, or disconnect."""
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(CONTENTS[0]))
    request = head + CONTENTS[0]
    generator = random.Random(0)  # noqa: S311 (no secret)
    with levit_server("--timeout", "5") as server:
        address = ("127.0.0.1", server.port)
        idle = [socket.create_connection(address) for _ in range(1_000)]
        half_sent = [socket.create_connection(address) for _ in range(200)]
        for connection in half_sent:
            connection.sendall(request[: generator.randrange(1, len(request))])
        for _ in range(options.disconnects):
            with socket.create_connection(address) as connection:
                connection.sendall(request[: generator.randrange(len(request) + 1)])
        health = [server.get("/healthz")[0] for _ in range(20)]
        status, _ = post(server.connect(), CONTENTS[0])
        timed_out: Counter[str] = Counter()
        for connection in half_sent:
            connection.settimeout(60)
            timed_out[connection.recv(1_000)[9:12].decode() or "closed"] += 1
        gauges = wait_for_rest(server)
        for connection in (*idle, *half_sent):
            connection.close()
    return {
        "idle": len(idle), "half-sent, by status": dict(timed_out), "disconnects": options.disconnects,
        "health": dict(Counter(health)), "prediction": status,
        "in progress, queue": [gauges["levit_requests_in_progress"] - 1, gauges["levit_queue_images"]],
    }  # fmt: skip


def wait_for_rest(server: Server) -> dict[str, float]:
    """Metrics when nothing is in progress but their own request, at most a minute later."""
    end = time.monotonic() + 60
    while True:
        gauges = server.gauges()
        if (gauges["levit_requests_in_progress"], gauges["levit_queue_images"]) == (1, 0) or time.monotonic() > end:
            return gauges
        time.sleep(0.1)


def mutated_bodies(count: int) -> Iterator[tuple[str, str, bytes]]:
    """Path, type and content of damaged images, forms, JSON, and requests of the inference protocol."""
    generator = random.Random(0)  # noqa: S311 (no secret)
    text = base64.b64encode(CONTENTS[0][:3_000]).decode()
    form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="a.jpg"\r\n\r\n' + CONTENTS[1] + b"\r\n--x--\r\n"
    tensor = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}
    inference = {"inputs": [tensor], "outputs": [{"name": "scores", "parameters": {"classification": 2}}]}
    seeds = [
        *((PATH, "image/jpeg", content) for content in CONTENTS),
        (PATH, "multipart/form-data; boundary=x", form),
        (PATH, "application/json", json.dumps({"images": [text, text], "top_k": 2}).encode()),
        ("/v2/models/default/infer", "application/json", json.dumps(inference).encode()),
    ]
    for _ in range(count):
        path, kind, content = generator.choice(seeds)
        damaged = bytearray(content)
        for _ in range(generator.randrange(1, 9)):
            damaged[generator.randrange(min(len(damaged), 4_000))] = generator.randrange(256)
        if generator.random() < 0.2:
            del damaged[generator.randrange(len(damaged)) :]
        yield path, kind, bytes(damaged)


def run_mutations(options: argparse.Namespace) -> dict[str, Any]:
    """Damaged bodies: every one has a response, and none of them is 500."""
    statuses: Counter[str] = Counter()
    with levit_server() as server:
        connection = server.connect()
        for path, kind, content in mutated_bodies(options.mutations):
            status, body = post(connection, content, kind, path)
            is_valid = status == 200 or list(json.loads(body)) == ["error"]
            statuses[str(status) if is_valid else "invalid"] += 1
        gauges = wait_for_rest(server)
    return {"statuses": dict(statuses), "queue at the end": gauges["levit_queue_images"]}


def run_kills(options: argparse.Namespace) -> dict[str, Any]:
    """SIGTERM while eight connections send, and a server that is killed and started again."""
    statuses: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    for _ in range(options.kills):
        with levit_server() as server:

            def send(_: int, server: Server = server) -> None:
                connection = server.connect()
                while True:
                    try:
                        connection.request("POST", PATH, CONTENTS[0])
                    except (OSError, HTTPException):
                        return  # the connection was closed between two requests
                    try:
                        response = connection.getresponse()
                        response.read()
                        statuses[str(response.status)] += 1
                    except (ConnectionResetError, HTTPException):
                        statuses["lost or not accepted"] += 1
                        return
                    if response.status != 200:
                        return

            with ThreadPoolExecutor(8) as pool:
                running = [pool.submit(send, index) for index in range(8)]
                time.sleep(1)
                server.process.send_signal(signal.SIGTERM)
                codes[server.process.wait(60)] += 1
                for future in running:
                    future.result()
    with levit_server() as server:
        server.process.kill()
    with levit_server() as server:
        status, _ = post(server.connect(), CONTENTS[0])
    return {"statuses": dict(statuses), "exit codes": dict(codes), "after kill -9": status}


RUNS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "overload": run_overload,
    "memory": run_memory,
    "connections": run_connections,
    "mutations": run_mutations,
    "kills": run_kills,
}


def main() -> None:
    """Run what is named, or everything, and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", choices=[*RUNS, []])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--disconnects", type=int, default=500)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    results = {}
    for name in options.runs or RUNS:
        results[name] = RUNS[name](options)
        print(name, json.dumps(results[name]), flush=True)
    if options.record:
        write_results("serving_faults.json", results)


if __name__ == "__main__":
    main()
