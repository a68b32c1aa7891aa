"""Speed of levit and of other libraries and networks on this CPU, side by side.

    python benchmarks/peers.py [runtimes] [frontier] [files] [--rounds 5] [--seconds 1.5] [--record]

- runtimes: LeViT-128S in every library and runtime, batches of 16 and of 1;
- frontier: all five LeViT in the default engine, and networks with a similar purpose in OpenVINO, with published top-1;
- files: from JPEG files to labels, photos of 500 pixels and of 12 megapixels.

Each row is measured in a separate process; the rounds alternate between the processes, and medians are compared.
Weights are random: the figures describe speed alone. int8 of LeViT is the recipe by which the embedded model passes
`--max-drop 0.5` with no layer but the head left in floating point (embedded_accuracy.py); int8 of other networks is
NNCF's default, whose accuracy was not measured. bf16 is left out where the processor does not compute it. Writes
peers.json, peers.md and frontier.png into build/benchmarks/results after each part; with --record, the two tables into
results/ and the plot into docs/images; with --results, into the folder of another machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from frontier import draw_frontier
from large_photos import write_photos
from levit.benchmarking.machine import describe_machine
from levit.benchmarking.peak import measure_peaks
from levit.benchmarking.workers import Worker
from levit.errors import EngineError, first_line
from levit.runtime.cpu_count import usable_cores
from levit.runtime.native_library import BF16_INSTRUCTIONS, chosen_instruction_set
from levit.runtime.openvino_core import openvino_core
from peer_networks import COMPETITORS, LEVITS, peer_file
from peer_tables import PIPELINE, PRECISIONS, levit_engine, markdown, published
from random_models import export_random, random_checkpoint
from recording import WORK, add_record_option, result_file, write_json, write_markdown

HERE = Path(__file__).parent
PLOT = HERE.parent / "docs" / "images" / "frontier.png"
PHOTOS = HERE.parents[1] / "shared" / "data" / "photos"
LARGE_PHOTOS = 64  # batches for both workers of a loader
PARTS = ("runtimes", "frontier", "files")
TRANSFORMERS, TIMM = "transformers:levit-128s", "timm:levit_128s"

Rates = dict[str, dict[str, float]]  # worker -> request -> images per second
Options = dict[str, Any]  # of worker.py, without `threads`; a file is a function that makes it


def main() -> None:
    """Measure the parts, and merge each into the results."""
    arguments = parse()
    rounds, seconds = arguments.rounds, arguments.seconds
    os.environ["HF_HUB_OFFLINE"] = "1"
    if arguments.results is None:
        file = result_file("peers.json", is_recorded=arguments.record)
    else:
        arguments.results.mkdir(parents=True, exist_ok=True)
        file = arguments.results / "peers.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    batches = {f"batch {size}": {"batch_size": size, "seconds": seconds} for size in (16, 1)}
    measurements: dict[str, Callable[[], Rates]] = {
        "runtimes": lambda: compare(runtime_workers(), batches, rounds),
        "frontier": lambda: compare(frontier_workers(), {"batch 16": batches["batch 16"]}, rounds),
        "files": lambda: compare(file_workers(), file_requests(2 * seconds), rounds),
    }
    for part in arguments.parts or PARTS:
        if part == "runtimes":
            record["peaks"] = measure_peaks(usable_precisions(), rounds=rounds, seconds=1.0)
        record[part] = measurements[part]()
        conditions = {"machine": describe_machine(), "rounds": rounds, "seconds": seconds}
        record["measured"] = record.get("measured", {}) | {part: conditions}
        write_json(file, record)  # after each part, so that a later one cannot lose it
        write_markdown(file.with_suffix(".md"), markdown(record))
    print(markdown(record))
    if "frontier" in record:
        plot = PLOT if arguments.record and arguments.results is None else file.with_name("frontier.png")
        draw_frontier(record["frontier"], published(), set(LEVITS), levit_engine(record), plot)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[*PARTS, []], help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="folder to write into, of another machine")
    add_record_option(parser)
    return parser.parse_args()


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
        file = partial(peer_file, network, "fp32")
        workers[f"ONNX Runtime on {library} graph fp32"] = {"runtime": "onnxruntime", "file": file}
        for precision in PRECISIONS:
            workers[f"OpenVINO on {library} graph {precision}"] = _openvino(network, precision)
    for precision in ("fp32", "int8"):
        workers[f"levit, ONNX Runtime {precision}"] = _levit("levit-128s", precision, "onnxruntime")
    for precision in PRECISIONS:
        if precision != "bf16" or chosen_instruction_set() in BF16_INSTRUCTIONS:
            workers[f"levit, native {precision}"] = _levit("levit-128s", precision, "native")
    checkpoint = {"runtime": "levit", "model": partial(random_checkpoint, "levit-128s"), "engine": "torch"}
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
    workers: dict[str, Options] = {}
    for precision in ("fp32", "bf16"):
        folder = partial(random_checkpoint, "levit-128s")
        workers[f"{PIPELINE} {precision}"] = {"runtime": "pipeline", "folder": folder, "precision": precision}
        for name, number in (("in this process", 0), ("with 2 workers", 2)):
            options = {"runtime": "timm loop", "network": TIMM, "workers": number, "precision": precision}
            workers[f"timm, torch's DataLoader {name} {precision}"] = options
    for processor in ("LevitImageProcessorPil", "LevitImageProcessor"):
        for precision in PRECISIONS:
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
    with ExitStack() as stack:
        running: dict[str, Worker] = {}
        for name, options in usable(workers, usable_precisions()).items():
            try:
                running[name] = stack.enter_context(start(name, options))
                for request in requests.values():  # compiles the network and fills caches
                    running[name].request(**{**request, "seconds": 0.3})
            except Exception as error:  # any row may need what this machine does not have
                omit(running, name, error)
            print(".", end="", file=sys.stderr, flush=True)
        return measure(running, requests, rounds)


def usable(workers: Mapping[str, Options], precisions: list[str]) -> dict[str, Options]:
    """The workers whose precision the processor computes."""
    return {name: options for name, options in workers.items() if options.get("precision", "fp32") in precisions}


def start(name: str, options: Options) -> Worker:
    """Start a worker, whose files are made where they do not exist."""
    values = {key: value() if callable(value) else value for key, value in options.items()}
    arguments = json.dumps({**values, "threads": usable_cores()}, default=str)
    return Worker(name, [sys.executable, str(HERE / "worker.py"), arguments])


def measure(running: dict[str, Worker], requests: Mapping[str, dict[str, Any]], rounds: int) -> Rates:
    """Medians of alternating rounds; a worker that fails is omitted from then on."""
    rates: dict[str, dict[str, list[float]]] = {name: {request: [] for request in requests} for name in running}
    for _ in range(rounds):
        for title, request in requests.items():
            for name, worker in list(running.items()):
                try:
                    rates[name][title].append(worker.request(**request)["images_per_second"])
                except EngineError as error:
                    omit(running, name, error)
    return {name: {title: statistics.median(values) for title, values in rates[name].items()} for name in running}


def omit(running: dict[str, Worker], name: str, error: Exception) -> None:
    """Leave out a worker, and print why."""
    running.pop(name, None)
    print(f"\n{name} is left out: {first_line(error)}", file=sys.stderr)


def _openvino(network: str, precision: str) -> Options:
    file = partial(peer_file, network, "int8" if precision == "int8" else "fp32")
    return {"runtime": "openvino", "file": file, "precision": precision}


def _levit(variant: str, precision: str, engine: str = "auto") -> Options:
    file = partial(export_random, variant, "int8" if precision == "int8" else "fp32")
    return {"runtime": "levit", "model": file, "engine": engine, "precision": precision}


if __name__ == "__main__":
    main()
