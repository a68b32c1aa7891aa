"""Profile of a network by kind of operation, compared with the machine's matrix-product peak.

    python benchmarks/operation_times.py [--variant levit-128s] [--batch-size 16] [--record]

OpenVINO measures each operation (PERF_COUNT) in one stream on all cores. Weights are random, which does not change
the speed. The peak is that of large matrix products, measured in the same process afterwards. Softmax and the matrix
products of attention are often fused into one operation; both then belong to the kind "fused attention, …".
Writes operation_times.md.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from levit.benchmarking.machine import describe_machine
from levit.benchmarking.peak import measure_peak
from levit.runtime.cpu_count import usable_cores
from levit.runtime.openvino_core import openvino
from levit.runtime.openvino_graph import fuse_quantization, prepend_normalization
from levit.spec.architecture import Architecture
from levit.spec.network import attention_blocks, count_flops, stem_layers
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import VARIANTS
from peers import usable_precisions
from random_models import export_random
from recording import add_record_option, result_file, write_markdown

PRODUCTS, OTHER = "attention products", "fused attention, transposition, element-wise"
KINDS = {"Convolution": "stem", "FullyConnected": "linear layers", "MatMul": PRODUCTS, "Softmax": "softmax"}
WARM_UP_PASSES, PASSES = 20, 30


def main() -> None:
    """Profile each precision, print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="levit-128s", choices=sorted(VARIANTS))
    parser.add_argument("--batch-size", type=int, default=16)
    add_record_option(parser)
    arguments = parser.parse_args()
    flops = {
        kind: count * arguments.batch_size
        for kind, count in _count_flops(VARIANTS[arguments.variant].architecture()).items()
    }
    lines = [
        f"# Time per kind of operation in {arguments.variant}",
        "",
        f"On {', '.join(describe_machine().values())}.",
    ]
    for precision in (name for name in ("fp32", "bf16", "int8") if name in usable_precisions()):
        file = export_random(arguments.variant, "int8" if precision == "int8" else "fp32")
        times = _profile(file, precision, arguments.batch_size)
        peak = 1e9 * measure_peak(precision, 2)
        lines += _table(precision, times, flops, peak, arguments.batch_size)
    print(*lines, sep="\n")
    write_markdown(result_file("operation_times.md", is_recorded=arguments.record), "\n".join(lines) + "\n")


def _table(
    precision: str, times: Mapping[str, float], flops: Mapping[str, int], peak: float, batch_size: int
) -> list[str]:
    """Markdown table of seconds and multiply-adds by kind of operation; `peak` in multiply-adds per second."""
    total_time, total_flops = sum(times.values()), sum(flops.values())
    lines = [
        "",
        f"**{precision}**, batches of {batch_size}: {1e3 * total_time:.1f} ms, "
        f"{batch_size / total_time:,.0f} images/s, {100 * total_flops / total_time / peak:.0f} % of the peak "
        f"({peak / 1e9:,.0f}e9 multiply-adds per second).",
        "",
    ]
    lines += ["| kind | ms | share of time | share of multiply-adds | of the peak |", "| --- | --- | --- | --- | --- |"]
    is_fused = PRODUCTS not in times  # with the softmax, into one operation
    for kind in sorted(times, key=lambda name: -times[name]):
        kind_flops = flops[PRODUCTS] if is_fused and kind == OTHER else flops.get(kind, 0)
        seconds = times[kind]
        shares = [seconds / total_time, kind_flops / total_flops, kind_flops / seconds / peak]
        cells = [f"| {kind}", f"{1e3 * seconds:.2f}", *(f"{100 * share:.0f} %" for share in shares)]
        lines += [" | ".join(cells) + " |"]
    return lines


def _count_flops(architecture: Architecture) -> dict[str, int]:
    """Multiply-adds per image, by kind of operation."""
    products = sum(
        block.num_heads * prod(block.input_grid) * prod(block.output_grid) * (block.key_dim + block.value_dim)
        for block in attention_blocks(architecture)
    )
    stem = sum(layer.flops() for layer in stem_layers(architecture))
    return {"stem": stem, PRODUCTS: products, "linear layers": count_flops(architecture) - stem - products}


def _profile(file: Path, precision: str, batch_size: int) -> dict[str, float]:
    """Seconds per pass by kind of operation, medians of 30 passes."""
    core = openvino.Core()
    network = core.read_model(file)
    fuse_quantization(network)
    size = network.input(0).get_partial_shape()[2].get_length()
    network = prepend_normalization(network, Preprocessing.for_image_size((size, size)), batch_size)
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if has_bf16 and precision != "fp32" else "f32",
        "INFERENCE_NUM_THREADS": usable_cores(),
        "NUM_STREAMS": 1,
        "PERF_COUNT": True,
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    images = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, 3), np.uint8)
    passes: dict[str, list[float]] = defaultdict(list)
    for number in range(WARM_UP_PASSES + PASSES):
        request.infer([images])
        times: dict[str, float] = defaultdict(float)
        for operation in request.profiling_info:
            if operation.status.name == "EXECUTED":
                times[KINDS.get(operation.node_type, OTHER)] += operation.real_time.total_seconds()
        for kind, seconds in times.items() if number >= WARM_UP_PASSES else ():
            passes[kind].append(seconds)
    return {kind: statistics.median(values) for kind, values in passes.items()}


if __name__ == "__main__":
    main()
