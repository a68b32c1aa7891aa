"""levit against every other way to classify images on this CPU, side by side.

    python benchmarks/peers.py [ways] [frontier] [files] [--rounds 5] [--seconds 1.5]

- ways: LeViT-128S by every library and runtime, batches of 16 and one image at a time;
- frontier: all five LeViT and the networks that a user would pick instead, in OpenVINO, beside their published top-1;
- files: from JPEG files to labels, photos of 500 pixels and of 12 megapixels.

Every contender has a process of its own; the rounds alternate between them, and medians are compared. Weights are
random: these figures are about speed alone. int8 comes from the recipe by which the embedded model passes
`--max-drop 0.5` with no layer but the head left in floating point (embedded_accuracy.py); the int8 of other networks is
NNCF's default, whose accuracy nobody has measured here. Writes results/peers.json and .md, and frontier.png.
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
from pathlib import Path
from typing import Any

from frontier import draw_frontier
from large_photos import write_photos
from levit.benchmarking.machine import describe_machine
from levit.benchmarking.workers import Contender, take_turns
from levit.errors import EngineError
from levit.runtime.cpu_count import usable_cores
from peer_networks import COMPETITORS, LEVITS, peer_file
from peer_tables import PRECISIONS, markdown, published
from work import WORK, export_random, random_checkpoint

HERE = Path(__file__).parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PHOTOS = HERE.parents[1] / "shared" / "data" / "photos"
TF, TIMM = "transformers:levit-128s", "timm:levit_128s"

Table = dict[str, dict[str, float]]
Specification = dict[str, Any]


def ways() -> dict[str, Specification]:
    """LeViT-128S by everyone."""
    found: dict[str, Specification] = {
        "transformers eager fp32": {"way": "torch", "network": TF, "form": "eager", "precision": "fp32"},
        "transformers eager bf16": {"way": "torch", "network": TF, "form": "eager", "precision": "bf16"},
        "transformers compiled fp32": {"way": "torch", "network": TF, "form": "compiled", "precision": "fp32"},
        "timm eager fp32": {"way": "torch", "network": TIMM, "form": "eager", "precision": "fp32"},
        "timm fused fp32": {"way": "torch", "network": TIMM, "form": "fused", "precision": "fp32"},
        # facebook's own way, on timm's network, which is its code: batch norms replaced, then traced
        "timm fused, traced fp32": {"way": "torch", "network": TIMM, "form": "fused traced", "precision": "fp32"},
        "timm fused, compiled fp32": {"way": "torch", "network": TIMM, "form": "fused compiled", "precision": "fp32"},
        "timm fused, compiled bf16": {"way": "torch", "network": TIMM, "form": "fused compiled", "precision": "bf16"},
    }
    for library, network in (("transformers'", TF), ("timm's", TIMM)):
        found[f"ONNX Runtime on {library} graph fp32"] = {"way": "onnxruntime", "file": peer_file(network, "fp32")}
        for precision in PRECISIONS:
            file = peer_file(network, "int8" if precision == "int8" else "fp32")
            name = f"OpenVINO on {library} graph {precision}"
            found[name] = {"way": "openvino", "file": file, "precision": precision}
    for precision in ("fp32", "int8"):
        found[f"levit, ONNX Runtime {precision}"] = _levit("levit-128s", precision, "onnxruntime")
    checkpoint = {"way": "levit", "model": random_checkpoint("levit-128s"), "engine": "torch"}
    for precision in ("fp32", "bf16"):
        found[f"levit, torch {precision}"] = checkpoint | {"precision": precision}
    for precision in PRECISIONS:
        found[f"levit {precision}"] = _levit("levit-128s", precision)
    return found


def frontier() -> dict[str, Specification]:
    """Every LeViT and every competitor in OpenVINO."""
    found = {f"{name} {precision}": _levit(name, precision) for name in LEVITS for precision in PRECISIONS}
    for name in COMPETITORS:
        for precision in PRECISIONS:
            file = peer_file(f"timm:{name}", "int8" if precision == "int8" else "fp32")
            found[f"{name} {precision}"] = {"way": "openvino", "file": file, "precision": precision}
    return found


def from_files() -> dict[str, Specification]:
    """The whole path with LeViT-128S."""
    found: dict[str, Specification] = {
        "transformers.pipeline(batch_size=16)": {"way": "pipeline", "folder": random_checkpoint("levit-128s")},
        "timm, loader in this process": {"way": "timm loop", "network": TIMM, "workers": 0},
        "timm, loader with 2 workers": {"way": "timm loop", "network": TIMM, "workers": 2},
    }
    for processor in ("LevitImageProcessorPil", "LevitImageProcessor"):
        for precision in ("bf16", "int8"):
            file = peer_file(TF, "int8" if precision == "int8" else "fp32")
            found[f"OpenVINO {precision} behind {processor}"] = {
                "way": "openvino", "file": file, "precision": precision, "processor": processor
            }  # fmt: skip
    for precision in PRECISIONS:
        found[f"levit {precision}"] = _levit("levit-128s", precision)
    return found


def compare(specifications: Mapping[str, Specification], requests: Mapping[str, dict[str, Any]], rounds: int) -> Table:
    """Medians of images a second: by contender, by request."""
    failures: list[str] = []
    with ExitStack() as stack:
        contenders = []
        for name, specification in specifications.items():
            options = json.dumps({**specification, "threads": usable_cores()}, default=str)
            try:
                contender = stack.enter_context(Contender(name, [sys.executable, str(HERE / "contender.py"), options]))
                for request in requests.values():  # compiles, fills caches
                    contender.ask(**{**request, "seconds": 0.3})
                contenders.append(contender)
            except EngineError as error:
                failures.append(str(error))
            print(".", end="", file=sys.stderr, flush=True)
        answers = take_turns(contenders, requests.values(), rounds)
    print(*failures, sep="\n", file=sys.stderr)
    return {
        name: {
            request: statistics.median(answer["images_per_second"] for answer in of_rounds)
            for request, of_rounds in zip(requests, of_requests, strict=True)
        }
        for name, of_requests in answers.items()
    }


def measure_peaks(rounds: int) -> dict[str, float]:
    """Multiply-adds a second in large matrix products, times 1e-9, by precision."""
    command = [sys.executable, "-P", "-m", "levit.benchmarking.peak"]
    with Contender("peak", command) as peak:
        requests = [{"precision": precision, "seconds": 1.0} for precision in PRECISIONS]
        (answers,) = take_turns([peak], requests, rounds).values()
    return {
        precision: statistics.median(answer["peak"] for answer in of_rounds)
        for precision, of_rounds in zip(PRECISIONS, answers, strict=True)
    }


def _levit(variant: str, precision: str, engine: str = "openvino") -> Specification:
    file = export_random(variant, "int8" if precision == "int8" else "fp32")
    return {"way": "levit", "model": file, "engine": engine, "precision": precision}


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="ways, frontier or files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    arguments = parser.parse_args()
    parts = arguments.parts or ["ways", "frontier", "files"]
    os.environ["HF_HUB_OFFLINE"] = "1"
    file = RESULTS / "peers.json"
    record = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    how = {"machine": describe_machine(), "rounds": arguments.rounds, "seconds": arguments.seconds}
    record["measured"] = record.get("measured", {}) | dict.fromkeys(parts, how)
    batches = {f"batch {size}": {"batch_size": size, "seconds": arguments.seconds} for size in (16, 1)}
    if "ways" in parts:
        record["peaks"] = measure_peaks(arguments.rounds)
        record["ways"] = compare(ways(), batches, arguments.rounds)
    if "frontier" in parts:
        record["frontier"] = compare(frontier(), {"batch 16": batches["batch 16"]}, arguments.rounds)
    if "files" in parts:
        folders = {"12 megapixels": write_photos(WORK / "large", 12)}
        if PHOTOS.exists():
            folders = {"500 pixels": sorted(PHOTOS.iterdir()), **folders}
        requests = {
            name: {"files": [str(photo) for photo in photos], "seconds": 2 * arguments.seconds}
            for name, photos in folders.items()
        }
        record["files"] = compare(from_files(), requests, arguments.rounds)
    file.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    text = markdown(record)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    if "frontier" in record:
        draw_frontier(record["frontier"], published(), set(LEVITS), RESULTS / "frontier.png")
        shutil.copy(RESULTS / "frontier.png", DOCS / "images")


if __name__ == "__main__":
    main()
