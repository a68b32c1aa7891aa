"""Time to fold a checkpoint and build its ONNX graph, for all published sizes with random weights.

python benchmarks/build_graph.py [--record]      writes build_graph.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from math import prod

import numpy as np

from levit.benchmarking.machine import describe_machine
from levit.deployment.folding import fold
from levit.deployment.graph import build_graph
from levit.spec.network import weight_shapes
from levit.spec.variants import VARIANTS
from recording import add_record_option, result_file, write_json

ROUNDS = 5


def main() -> None:
    """Measure, print the medians, and write them to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_record_option(parser)
    arguments = parser.parse_args()
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
    write_json(result_file("build_graph.json", is_recorded=arguments.record), record)


if __name__ == "__main__":
    main()
