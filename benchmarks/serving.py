"""Throughput and latency of `levit serve`, beside `stream()` and what people use today, in alternating rounds.

    apt-get install wrk; npm install --prefix /tmp/autocannon autocannon; pip install litserve   # the last is optional
    python benchmarks/serving.py --record
    python benchmarks/serving.py --seconds 2 --rounds 1 --without-peers

| row | meaning |
| --- | --- |
| stream | `Classifier.stream` on the same files in one process: images per second |
| levit serve | the same files by `POST /predictions`, keep-alive, 32 connections of `wrk` |
| pipeline + FastAPI, LitServe | `transformers.pipeline` with LeViT-128S of the same size in float32, behind each |
| half load | latency at half of the throughput, corrected for coordinated omission (`autocannon -R`) |
| one | median latency of one image after the other by HTTP, minus that of `Classifier(one)` |

Processor time per image does not depend on other programs of the machine, so that it is recorded as well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from service_process import Server, levit_server, write_results

ROOT = Path(__file__).resolve().parent.parent
PHOTOS = ROOT.parent / "shared" / "data" / "photos-val.parquet"
PEERS = Path(__file__).parent / "serving_peers"
CONNECTIONS = 32
WARM_UP = 3  # seconds
AUTOCANNON = "/tmp/autocannon/node_modules/.bin/autocannon"  # noqa: S108

# Each request has the next file; the body is read once.
WRK_SCRIPT = """
local bodies, index = {}, 0
for name in io.lines(os.getenv("LEVIT_FILES")) do
  local file = io.open(name, "rb"); bodies[#bodies + 1] = file:read("*all"); file:close()
end
local requests = {}
for number, body in ipairs(bodies) do
  requests[number] = wrk.format("POST", os.getenv("LEVIT_PATH"), {["Content-Type"] = "image/jpeg"}, body)
end
request = function() index = index % #requests + 1; return requests[index] end
"""

# Prints images per second, and processor seconds per image.
STREAM_PROGRAM = """
import itertools, sys, time
import levit
seconds, files = float(sys.argv[1]), sys.argv[2:]
contents = [open(file, "rb").read() for file in files]
classify = levit.Classifier()
list(classify.stream(contents[:64]))
start, cpu = time.perf_counter(), time.process_time()
count = 0
for _ in classify.stream(itertools.cycle(contents)):
    count += 1
    if time.perf_counter() - start >= seconds:
        break
print(count / (time.perf_counter() - start), (time.process_time() - cpu) / count)
"""


def photo_files(folder: Path, count: int) -> list[Path]:
    """Write photos of the validation set as files; without it, the photos of the repository."""
    if not PHOTOS.exists():
        return sorted((ROOT / "examples").glob("*.jpg"))
    import pyarrow.parquet as pq

    images = pq.read_table(PHOTOS).slice(0, count).column("image").to_pylist()
    files = []
    for number, image in enumerate(images):
        files.append(folder / f"{number}.jpg")
        files[-1].write_bytes(image["bytes"] if isinstance(image, dict) else image)
    return files


def run_wrk(address: str, path: str, files: Path, seconds: float) -> float:
    """Requests per second of `wrk`; another status than 200 is an error."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "30s", "-s", script.name, address]
        environment = os.environ | {"LEVIT_FILES": str(files), "LEVIT_PATH": path}
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    if errors := re.search(r"Non-2xx or 3xx responses: .*|Socket errors: .*", output):
        raise RuntimeError(errors[0])
    match = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if match is None or not float(match[1]):
        raise RuntimeError(f"no request was finished; give more seconds: {output}")
    return float(match[1])


def measure_server(server: Server, path: str, files: Path, seconds: float) -> tuple[float, float]:
    """Images per second of a server, and processor seconds per image."""
    cpu = server.cpu_seconds()
    rate = run_wrk(server.address, path, files, seconds)
    return rate, (server.cpu_seconds() - cpu) / (rate * seconds)


def measure_stream(files: list[Path], seconds: float) -> tuple[float, float]:
    """Images per second of `stream()`, and processor seconds per image."""
    command = [sys.executable, "-c", STREAM_PROGRAM, str(seconds), *map(str, files)]
    rate, cpu = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(rate), float(cpu)


def half_load(server: Server, photo: Path, rate: float, seconds: float, autocannon: str) -> dict[str, float]:
    """Percentiles of the latency at half of the throughput, in milliseconds."""
    options = ["-j", "-c", str(CONNECTIONS), "-d", f"{seconds:g}", "-R", str(max(1, round(rate / 2)))]
    command = [autocannon, *options, "-m", "POST", "-i", str(photo), f"{server.address}/predictions/default"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if result["non2xx"] or result["errors"]:
        raise RuntimeError(f"{result['non2xx']} refusals, {result['errors']} errors")
    return {name: result["latency"][name] for name in ("p50", "p99")}


def single_latency(server: Server, files: list[Path], count: int) -> dict[str, float]:
    """Median latency of one image, by HTTP and by a classifier in this process, in milliseconds, alternating."""
    import levit

    contents = [file.read_bytes() for file in files[:16]]
    connection = server.connect()

    def by_http(content: bytes) -> None:
        connection.request("POST", "/predictions/default", content)
        connection.getresponse().read()

    with levit.Classifier() as classify:
        functions: dict[str, Callable[[bytes], object]] = {"http": by_http, "classifier": classify}
        times: dict[str, list[float]] = {name: [] for name in functions}
        for index in range(count):
            for name, function in functions.items():
                start = time.perf_counter()
                function(contents[index % len(contents)])
                times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: statistics.median(values[count // 10 :]) for name, values in times.items()}
    return medians | {"added": medians["http"] - medians["classifier"]}


def peers() -> dict[str, tuple[list[str], str, str]]:
    """Commands of the other servers, with their paths of readiness and prediction."""
    found = {
        "pipeline + FastAPI": ([sys.executable, str(PEERS / "fastapi_pipeline.py"), "{port}"], "/healthz", "/predict")
    }
    if find_spec("litserve") is not None:
        found["LitServe"] = ([sys.executable, str(PEERS / "litserve_pipeline.py"), "{port}"], "/health", "/predict")
    return found


def main() -> None:
    """Run the rounds, print the medians, and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--autocannon", default=shutil.which("autocannon") or AUTOCANNON)
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = measure(Path(folder), options)
    print(json.dumps(results, indent=2))
    if options.record:
        write_results("serving.json", results)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All rows, as medians of the rounds."""
    files = photo_files(folder, options.images)
    names = folder / "files.txt"
    names.write_text("\n".join(map(str, files)) + "\n", encoding="utf-8")
    rows: dict[str, list[tuple[float, float]]] = {}
    for _ in range(options.rounds):
        rows.setdefault("stream", []).append(measure_stream(files, options.seconds))
        with levit_server() as server:
            run_wrk(server.address, "/predictions/default", names, WARM_UP)
            values = measure_server(server, "/predictions/default", names, options.seconds)
            rows.setdefault("levit serve", []).append(values)
        for name, (command, ready, path) in {} if options.without_peers else peers().items():
            with Server(command, ready) as server:
                run_wrk(server.address, path, names, WARM_UP)
                rows.setdefault(name, []).append(measure_server(server, path, names, options.seconds))
    medians = {
        name: [statistics.median(column) for column in zip(*values, strict=True)] for name, values in rows.items()
    }
    results: dict[str, Any] = {
        name: {"images_per_second": rate, "cpu_milliseconds": 1000 * cpu} for name, (rate, cpu) in medians.items()
    }
    ours = medians["levit serve"]
    results["ratios"] = {name: ours[0] / rate for name, (rate, _) in medians.items() if name != "levit serve"}
    with levit_server() as server:
        results["one"] = single_latency(server, files, 300)
        if Path(options.autocannon).exists():
            results["half load"] = half_load(server, files[0], ours[0], options.seconds, options.autocannon)
    return results


if __name__ == "__main__":
    main()
