"""Throughput and latency of `levit serve`, beside `stream()` and what people use today, in alternating rounds.

    python benchmarks/serving.py --record                                    # about 15 minutes, on a quiet machine
    python benchmarks/serving.py --seconds 2 --rounds 1 --without-peers      # a trial

`wrk` (by apt) and LitServe (in build/benchmarks) are installed on first use. The model is the embedded one, in int8;
`transformers.pipeline` has a network of the same size in float32. There are two kinds of photos: those in examples/, of
450 to 640 pixels, and small ones, of 64 to 168 pixels, with which the cost of HTTP itself shows.

| row | meaning |
| --- | --- |
| stream() | `Classifier.stream` on the contents of the same files in one process: images per second |
| levit serve | the same files by `POST /predictions`, keep-alive, 32 connections of `wrk` |
| transformers.pipeline in LitServe | the main comparison: images are computed in batches |
| transformers.pipeline behind FastAPI | as many threads as cores, one core each |
| random arrivals | latency at half of the throughput, with requests at random times (Poisson) |
| one | median latency of one image after the other by HTTP, minus that of `Classifier(one)` |

Processor time per image, which depends less on other programs of the machine, is recorded as well.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import levit
from levit.benchmarking.machine import describe_machine
from recording import add_record_option
from service_process import Server, levit_server, stop_servers_on_sigterm
from serving_tables import SERVE, STREAM, record
from serving_tools import Client, find_wrk, http_request, python_with, random_arrivals

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT.parent / "shared" / "data" / "photos-val.parquet"
PEERS = Path(__file__).parent / "serving_peers"
PATH = "/predictions/default"
CONNECTIONS = 32
WARM_UP = 3  # seconds
KINDS, AS_JSON = ("photos", "small photos"), "photos as JSON"
SMALL_PHOTOS = 256
SINGLE_IMAGES = 1_000
ARRIVAL_SECONDS = 20

# Each request has the next file; the body is read once.
WRK_SCRIPT = """
local bodies, index = {}, 0
for name in io.lines(os.getenv("LEVIT_FILES")) do
  local file = io.open(name, "rb"); bodies[#bodies + 1] = file:read("*all"); file:close()
end
local requests = {}
for number, body in ipairs(bodies) do
  requests[number] = wrk.format("POST", os.getenv("LEVIT_PATH"), {["Content-Type"] = os.getenv("LEVIT_TYPE")}, body)
end
request = function() index = index % #requests + 1; return requests[index] end
"""

# Prints images per second, and processor seconds per image.
STREAM_PROGRAM = """
import itertools, sys, time
import levit
seconds, names = float(sys.argv[1]), open(sys.argv[2]).read().split("\\n")[:-1]
contents = [open(name, "rb").read() for name in names]
classify = levit.Classifier()
list(classify.stream(itertools.islice(itertools.cycle(contents), 64)))
start, cpu = time.perf_counter(), time.process_time()
count = 0
for _ in classify.stream(itertools.cycle(contents)):
    count += 1
    if time.perf_counter() - start >= seconds:
        break
print(count / (time.perf_counter() - start), (time.process_time() - cpu) / count)
"""


class Rate(NamedTuple):
    """Throughput.

    Attributes:
        images_per_second: images per second.
        cpu_milliseconds: processor time per image, of all processes of the server.
    """

    images_per_second: float
    cpu_milliseconds: float


class Peer(NamedTuple):
    """Another server.

    Attributes:
        command: its command.
        ready: path that responds with 200 once it is ready.
        files: name of the list of the bodies of its requests.
    """

    command: list[str]
    ready: str
    files: str


def write_files(folder: Path) -> dict[str, Path]:
    """Lists of the files of both kinds of photos, and of bodies with base64; without the data set, no small photos."""
    lists = {"photos": sorted((ROOT / "examples").glob("*.jpg"))}
    lists[AS_JSON] = [folder / f"{photo.stem}.json" for photo in lists["photos"]]
    for photo, file in zip(lists["photos"], lists[AS_JSON], strict=True):
        file.write_text(json.dumps({"image": base64.b64encode(photo.read_bytes()).decode()}), encoding="utf-8")
    if PHOTOS.exists():
        import pyarrow.parquet as pq

        images = pq.read_table(PHOTOS).slice(0, SMALL_PHOTOS).column("image").to_pylist()
        lists["small photos"] = [folder / f"{number}.image" for number in range(len(images))]
        for file, image in zip(lists["small photos"], images, strict=True):
            file.write_bytes(image["bytes"] if isinstance(image, dict) else image)
    names = {kind: folder / f"{kind}.txt" for kind in lists}
    for kind, files in lists.items():
        names[kind].write_text("\n".join(map(str, files)) + "\n", encoding="utf-8")
    return names


def run_wrk(address: str, path: str, files: Path, seconds: float, *, is_warm_up: bool = False) -> float:
    """Requests per second of `wrk`; another status than 200 is an error, as is no response unless it warms up."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT)
        script.flush()
        options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "60s", "-s", script.name]
        kind = "application/json" if files.stem == AS_JSON else "image/jpeg"
        environment = os.environ | {"LEVIT_FILES": str(files), "LEVIT_PATH": path, "LEVIT_TYPE": kind}
        command = [find_wrk(), *options, address]
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    if errors := re.search(r"Non-2xx or 3xx responses: .*|Socket errors: .*", output):
        raise RuntimeError(errors[0])
    match = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if match is None or not (is_warm_up or float(match[1])):
        raise RuntimeError(f"no request was finished; give more seconds: {output}")
    return float(match[1])


def measure_server(server: Server, path: str, files: Path, seconds: float) -> Rate:
    """Throughput of a server, after a warm-up."""
    run_wrk(server.address, path, files, min(WARM_UP, seconds), is_warm_up=True)
    cpu = server.cpu_seconds()
    rate = run_wrk(server.address, path, files, seconds)
    return Rate(rate, 1000 * (server.cpu_seconds() - cpu) / (rate * seconds))


def measure_stream(files: Path, seconds: float) -> Rate:
    """Throughput of `stream()`."""
    command = [sys.executable, "-c", STREAM_PROGRAM, str(seconds), str(files)]
    rate, cpu = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return Rate(float(rate), 1000 * float(cpu))


def half_load(server: Server, files: Path, rate: float, rounds: int) -> dict[str, float]:
    """Percentiles of the latency at half of the throughput, in milliseconds; medians of the rounds."""
    per_second = max(1, round(rate / 2))
    names = files.read_text(encoding="utf-8").splitlines()
    requests = [http_request(PATH, Path(name).read_bytes()) for name in names]
    latencies = [
        random_arrivals(server.port, requests, per_second, ARRIVAL_SECONDS, CONNECTIONS) for _ in range(rounds)
    ]
    percentiles = {f"p{share}": [float(np.percentile(row, share)) for row in latencies] for share in (50, 99)}
    return {"requests_per_second": per_second} | {
        name: 1000 * statistics.median(values) for name, values in percentiles.items()
    }


def single_latency(server: Server, files: Path, count: int) -> dict[str, float]:
    """Median latency of one image, by HTTP and by a classifier in this process, in milliseconds, alternating."""
    contents = [Path(name).read_bytes() for name in files.read_text(encoding="utf-8").splitlines()[:16]]
    requests = [http_request(PATH, content) for content in contents]
    times: dict[str, list[float]] = {"http": [], "classifier": []}
    with levit.Classifier() as classify, Client(server.port) as client:
        for index in range(-count // 10, count):
            response = client.send(requests[index % len(requests)])
            seconds = _seconds_of(classify, contents[index % len(contents)])
            if index >= 0:  # those before warm up
                times["http"].append(1000 * response.seconds)
                times["classifier"].append(1000 * seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return medians | {"added": medians["http"] - medians["classifier"]}


def _seconds_of(classify: levit.Classifier, content: bytes) -> float:
    start = time.perf_counter()
    classify(content).top(5)
    return time.perf_counter() - start


def find_peers() -> dict[str, Peer]:
    """The other servers."""
    litserve = [python_with("litserve", is_shared=True), str(PEERS / "litserve_pipeline.py"), "{port}"]
    fastapi = [sys.executable, str(PEERS / "fastapi_pipeline.py"), "{port}"]
    return {
        "transformers.pipeline behind FastAPI, one thread per core": Peer(fastapi, "/healthz", "photos"),
        "transformers.pipeline in LitServe": Peer(litserve, "/health", AS_JSON),
    }


def measure_rounds(files: dict[str, Path], options: argparse.Namespace) -> dict[str, dict[str, list[Rate]]]:
    """Throughput of every row, by kind of photo: one value for each round."""
    rates: dict[str, dict[str, list[Rate]]] = {kind: {} for kind in KINDS if kind in files}
    peers = {} if options.without_peers else find_peers()
    for number in range(options.rounds):
        for kind in rates:
            names = files[kind]
            rates[kind].setdefault(STREAM, []).append(measure_stream(names, options.seconds))
            with levit_server() as server:
                rates[kind].setdefault(SERVE, []).append(measure_server(server, PATH, names, options.seconds))
        for name, peer in peers.items():
            with Server(peer.command, peer.ready) as server:
                row = rates["photos"].setdefault(name, [])
                row.append(measure_server(server, "/predict", files[peer.files], options.seconds))
        latest = {kind: {name: row[-1] for name, row in rows.items()} for kind, rows in rates.items()}
        print(f"round {number + 1} of {options.rounds}: {json.dumps(latest)}", file=sys.stderr, flush=True)
    return rates


def summarize(rows: dict[str, list[Rate]]) -> dict[str, dict[str, float]]:
    """Medians of the rounds; `ratio` is that of `levit serve` to the row in the same round."""
    return {
        name: {
            "images_per_second": statistics.median(rate.images_per_second for rate in rates),
            "cpu_milliseconds": statistics.median(rate.cpu_milliseconds for rate in rates),
            "ratio": statistics.median(_ratios(rows[SERVE], rates)),
        }
        for name, rates in rows.items()
    }


def _ratios(ours: Sequence[Rate], others: Sequence[Rate]) -> list[float]:
    return [first.images_per_second / second.images_per_second for first, second in zip(ours, others, strict=True)]


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    files = write_files(folder)
    throughput = {kind: summarize(rows) for kind, rows in measure_rounds(files, options).items()}
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "throughput": throughput,
        "one": {},
        "half load": {},
    }
    with levit_server() as server:
        for kind in throughput:
            names = files[kind]
            results["one"][kind] = single_latency(server, names, options.single)
            rate = throughput[kind][SERVE]["images_per_second"]
            results["half load"][kind] = half_load(server, names, rate, options.rounds)
    return results


def main() -> None:
    """Run the rounds, print the medians, and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--single", type=int, default=SINGLE_IMAGES)
    parser.add_argument("--without-peers", action="store_true")
    add_record_option(parser)
    options = parser.parse_args()
    stop_servers_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options)
    print(json.dumps(results, indent=2))
    record("speed", results, is_recorded=options.record)


if __name__ == "__main__":
    main()
