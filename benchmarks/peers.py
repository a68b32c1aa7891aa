"""Speed of levit and of other libraries and networks on this CPU, side by side.

    python benchmarks/peers.py [runtimes] [frontier] [files] [--rounds 5] [--seconds 1.5] [--results FOLDER]

- runtimes: LeViT-128S in every library and runtime, batches of 16 and of 1;
- frontier: all five LeViT in the default engine, and networks with a similar purpose in OpenVINO, with published top-1;
- files: from JPEG files to labels, photos of 500 pixels and of 12 megapixels.

Each row is measured in a separate process; the rounds alternate between the processes, and medians are compared.
Weights are random: the figures describe speed alone. int8 of LeViT is the recipe by which the embedded model passes
`--max-drop 0.5` with no layer but the head left in floating point (embedded_accuracy.py); int8 of other networks is
NNCF's default, whose accuracy was not measured. bf16 is left out where the processor does not compute it. Writes
peers.json, peers.md and frontier.png into results/, or into another folder for another machine; with results/ also
docs/images/frontier.png.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from frontier import draw_frontier
from large_photos import write_photos
from levit.benchmarking.machine import describe_machine
from levit.benchmarking.peak import measure_peaks
from levit.benchmarking.workers import Worker, run_rounds
from levit.errors import EngineError
from levit.runtime.cpu_count import usable_cores
from levit.runtime.openvino_core import openvino_core
from peer_networks import COMPETITORS, LEVITS, peer_file
from peer_tables import PRECISIONS, markdown, published
from random_models import WORK, export_random, random_checkpoint

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PHOTOS = HERE.parents[1] / "shared" / "data" / "photos"
LARGE_PHOTOS = 64  # batches for both workers of a loader
PARTS = ("runtimes", "frontier", "files")
TRANSFORMERS, TIMM = "transformers:levit-128s", "timm:levit_128s"

Rates = dict[str, dict[str, float]]  # worker -> request -> images per second
Options = dict[str, Any]  # of worker.py, without `threads`


def main() -> None:
    """Measure the parts, merge them into the results, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    parts, rounds, seconds = arguments.parts or PARTS, arguments.rounds, arguments.seconds
    os.environ["HF_HUB_OFFLINE"] = "1"
    results: Path = arguments.results
    results.mkdir(parents=True, exist_ok=True)
    file = results / "peers.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    conditions = {"machine": describe_machine(), "rounds": rounds, "seconds": seconds}
    record["measured"] = record.get("measured", {}) | dict.fromkeys(parts, conditions)
    batches = {f"batch {size}": {"batch_size": size, "seconds": seconds} for size in (16, 1)}
    if "runtimes" in parts:
        record["peaks"] = measure_peaks(usable_precisions(), rounds=rounds, seconds=1.0)
        record["runtimes"] = compare(runtime_workers(), batches, rounds)
    if "frontier" in parts:
        record["frontier"] = compare(frontier_workers(), {"batch 16": batches["batch 16"]}, rounds)
    if "files" in parts:
        record["files"] = compare(file_workers(), file_requests(2 * seconds), rounds)
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = markdown(record)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    if "frontier" in record:
        draw_frontier(record["frontier"], published(), set(LEVITS), results / "frontier.png")
        if results == RESULTS:
            shutil.copy(results / "frontier.png", DOCS / "images")


def usable_precisions() -> list[str]:
    """Precisions that the processor computes natively."""
    has_bf16 = "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [precision for precision in PRECISIONS if precision != "bf16" or has_bf16]


def runtime_workers() -> dict[str, Options]:
    """LeViT-128S in every library and runtime."""

    def torch_options(network: str, form: str, precision: str) -> Options:
        return {"runtime": "torch", "network": network, "form": form, "precision": precision}

    workers: dict[str, Options] = {
        "transformers eager fp32": torch_options(TRANSFORMERS, "eager", "fp32"),
        "transformers eager bf16": torch_options(TRANSFORMERS, "eager", "bf16"),
        "transformers compiled fp32": torch_options(TRANSFORMERS, "compiled", "fp32"),
        "timm eager fp32": torch_options(TIMM, "eager", "fp32"),
        "timm fused fp32": torch_options(TIMM, "fused", "fp32"),
        # the procedure of facebookresearch/LeViT, on timm's network, which is its code: batch norms fused, then traced
        "timm fused, traced fp32": torch_options(TIMM, "fused traced", "fp32"),
        "timm fused, compiled fp32": torch_options(TIMM, "fused compiled", "fp32"),
        "timm fused, compiled bf16": torch_options(TIMM, "fused compiled", "bf16"),
    }
    for library, network in (("transformers'", TRANSFORMERS), ("timm's", TIMM)):
        file = peer_file(network, "fp32")
        workers[f"ONNX Runtime on {library} graph fp32"] = {"runtime": "onnxruntime", "file": file}
        for precision in PRECISIONS:
            workers[f"OpenVINO on {library} graph {precision}"] = _openvino(network, precision)
    for precision in ("fp32", "int8"):
        workers[f"levit, ONNX Runtime {precision}"] = _levit("levit-128s", precision, "onnxruntime")
    workers["levit, native fp32"] = _levit("levit-128s", "fp32", "native")
    workers["levit, native int8"] = _levit("levit-128s", "int8", "native")
    checkpoint = {"runtime": "levit", "model": random_checkpoint("levit-128s"), "engine": "torch"}
    for precision in ("fp32", "bf16"):
        workers[f"levit, torch {precision}"] = checkpoint | {"precision": precision}
    for precision in PRECISIONS:
        workers[f"levit, OpenVINO {precision}"] = _levit("levit-128s", precision, "openvino")
        workers[f"levit {precision}"] = _levit("levit-128s", precision)
    return workers


def frontier_workers() -> dict[str, Options]:
    """All LeViT in the default engine, and all competitors in OpenVINO."""
    workers = {f"{name} {precision}": _levit(name, precision) for name in LEVITS for precision in PRECISIONS}
    for name in COMPETITORS:
        for precision in PRECISIONS:
            workers[f"{name} {precision}"] = _openvino(f"timm:{name}", precision)
    return workers


def file_workers() -> dict[str, Options]:
    """LeViT-128S from JPEG files to labels."""
    workers: dict[str, Options] = {
        "transformers.pipeline(batch_size=16)": {"runtime": "pipeline", "folder": random_checkpoint("levit-128s")},
        "timm, loader in this process": {"runtime": "timm loop", "network": TIMM, "workers": 0},
        "timm, loader with 2 workers": {"runtime": "timm loop", "network": TIMM, "workers": 2},
    }
    for processor in ("LevitImageProcessorPil", "LevitImageProcessor"):
        for precision in ("bf16", "int8"):
            options = _openvino(TRANSFORMERS, precision) | {"processor": processor}
            workers[f"OpenVINO {precision} behind {processor}"] = options
    for precision in PRECISIONS:
        workers[f"levit {precision}"] = _levit("levit-128s", precision)
    workers["levit, OpenVINO int8"] = _levit("levit-128s", "int8", "openvino")
    return workers


def file_requests(seconds: float) -> dict[str, Options]:
    """Requests for photos of both sizes; those of 500 pixels need ../shared/data."""
    large = write_photos(WORK / "large", 12)
    folders = {"12 megapixels": [*islice(cycle(large), LARGE_PHOTOS)]}
    if PHOTOS.exists():
        folders = {"500 pixels": sorted(PHOTOS.iterdir()), **folders}
    return {name: {"files": [str(photo) for photo in photos], "seconds": seconds} for name, photos in folders.items()}


def compare(workers: Mapping[str, Options], requests: Mapping[str, dict[str, Any]], rounds: int) -> Rates:
    """Measure medians of images per second; workers that fail are reported and omitted."""
    failures: list[str] = []
    precisions = usable_precisions()
    workers = {name: options for name, options in workers.items() if "bf16" in precisions or "bf16" not in name}
    with ExitStack() as stack:
        running = []
        for name, options in workers.items():
            arguments = json.dumps({**options, "threads": usable_cores()}, default=str)
            try:
                worker = stack.enter_context(Worker(name, [sys.executable, str(HERE / "worker.py"), arguments]))
                for request in requests.values():  # compiles the network and fills caches
                    worker.request(**{**request, "seconds": 0.3})
                running.append(worker)
            except EngineError as error:
                failures.append(str(error))
            print(".", end="", file=sys.stderr, flush=True)
        responses = run_rounds(running, requests.values(), rounds)
    print(*failures, sep="\n", file=sys.stderr)
    return {
        name: {
            request: statistics.median(response["images_per_second"] for response in responses_of_request)
            for request, responses_of_request in zip(requests, responses_of_worker, strict=True)
        }
        for name, responses_of_worker in responses.items()
    }


def _openvino(network: str, precision: str) -> Options:
    file = peer_file(network, "int8" if precision == "int8" else "fp32")
    return {"runtime": "openvino", "file": file, "precision": precision}


def _levit(variant: str, precision: str, engine: str = "auto") -> Options:
    file = export_random(variant, "int8" if precision == "int8" else "fp32")
    return {"runtime": "levit", "model": file, "engine": engine, "precision": precision}


if __name__ == "__main__":
    main()
