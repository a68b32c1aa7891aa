"""Time to fold a checkpoint and build its ONNX graph, for all published sizes with random weights.

python benchmarks/build_graph.py
"""

from __future__ import annotations

import json
import statistics
import time
from math import prod
from pathlib import Path

import numpy as np

from levit.benchmarking.machine import describe_machine
from levit.deployment.folding import fold
from levit.deployment.graph import build_graph
from levit.spec.variants import VARIANTS
from levit.spec.weight_shapes import weight_shapes

RESULT = Path(__file__).parent / "results" / "build_graph.json"
ROUNDS = 5


def main() -> None:
    """Measure, print the medians, and write them to the results."""
    medians = {}
    print(f"median of {ROUNDS} rounds\n\n| variant | fold and build (s) |\n| --- | --- |")
    for variant in VARIANTS.values():
        architecture = variant.architecture()
        generator = np.random.default_rng(0)
        weights = {
            name: generator.uniform(0.5, 1, prod(shape)).reshape(shape)
            for name, shape in weight_shapes(architecture).items()
        }
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            build_graph(fold(weights, architecture), architecture)
            seconds.append(time.perf_counter() - start)
        medians[variant.name] = statistics.median(seconds)
        print(f"| `{variant.name}` | {medians[variant.name]:.2f} |")
    record = {"machine": describe_machine(), "seconds": medians}
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
