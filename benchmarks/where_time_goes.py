"""Where does the time of a network go? By kind of operation, with the share of the machine's matrix-product peak.

    python benchmarks/where_time_goes.py [--variant levit-128s] [--batch-size 16]

OpenVINO counts the time of each operation (PERF_COUNT) in one stream on all cores; weights are random, which changes
no speed. The peak is that of large matrix products, measured in the same process after them. The softmax and
the products of the attention are often fused into one operation; then both count among the rest.
Writes results/where_time_goes.md.
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
import openvino

from levit.benchmarking.machine import describe_machine
from levit.benchmarking.peak import measure_peak
from levit.runtime.cpu_count import usable_cores
from levit.runtime.openvino_graph import own_quantization, take_pixels
from levit.spec.architecture import Architecture
from levit.spec.blocks import AttentionBlock, count_flops, encoder_blocks, stem_layers
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import VARIANTS
from work import WORK, export_random

PRODUCTS, REST = "attention products", "fused attention, moving, element by element"
KINDS = {"Convolution": "stem", "FullyConnected": "linear layers", "MatMul": PRODUCTS, "Softmax": "softmax"}
RESULT = Path(__file__).parent / "results" / "where_time_goes.md"


def main() -> None:
    """Profile in each precision and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="levit-128s", choices=sorted(VARIANTS))
    parser.add_argument("--batch-size", type=int, default=16)
    arguments = parser.parse_args()
    work = {
        kind: count * arguments.batch_size for kind, count in _flops(VARIANTS[arguments.variant].architecture()).items()
    }
    WORK.mkdir(exist_ok=True)
    lines = [f"# Where the time of {arguments.variant} goes", "", f"On {', '.join(describe_machine().values())}."]
    lines += ["", "<!-- --8<-- [start:all] -->"]
    for precision in ("fp32", "bf16", "int8"):
        file = export_random(arguments.variant, "int8" if precision == "int8" else "fp32")
        taken = _profile(file, precision, arguments.batch_size)
        peak = measure_peak(precision, 2)
        lines += _table(precision, taken, work, peak, arguments.batch_size)
    lines += ["", "<!-- --8<-- [end:all] -->"]
    print(*lines, sep="\n")
    RESULT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(
    precision: str, taken: Mapping[str, float], work: Mapping[str, int], peak: float, batch_size: int
) -> list[str]:
    """Seconds by kind of operation as Markdown, beside the multiply-adds of each."""
    whole, all_work = sum(taken.values()), sum(work.values())
    lines = [
        "",
        f"**{precision}**, batches of {batch_size}: {1e3 * whole:.1f} ms, {batch_size / whole:,.0f} images/s, "
        f"{100 * all_work / whole / peak / 1e9:.0f} % of the peak ({peak:,.0f} G multiply-adds/s).",
        "",
    ]
    lines += ["| kind | ms | share of the time | share of the work | of the peak |", "| --- | --- | --- | --- | --- |"]
    fused = PRODUCTS not in taken  # with the softmax into one operation
    for kind in sorted(taken, key=lambda name: -taken[name]):
        done, seconds = work[PRODUCTS] if fused and kind == REST else work.get(kind, 0), taken[kind]
        shares = [seconds / whole, done / all_work, done / seconds / peak / 1e9]
        lines += [
            " | ".join([f"| {kind}", f"{1e3 * seconds:.2f}", *(f"{100 * share:.0f} %" for share in shares)]) + " |"
        ]
    return lines


def _flops(architecture: Architecture) -> dict[str, int]:
    """Multiply-adds of one image by kind."""
    products = sum(
        block.num_heads * prod(block.input_grid) * prod(block.output_grid) * (block.key_dim + block.value_dim)
        for block in encoder_blocks(architecture)
        if isinstance(block, AttentionBlock)
    )
    stem = sum(layer.flops() for layer in stem_layers(architecture))
    return {
        "stem": stem,
        PRODUCTS: products,
        "linear layers": count_flops(architecture) - stem - products,
    }


def _profile(file: Path, precision: str, batch_size: int) -> dict[str, float]:
    """Seconds of each kind in one pass, medians of 30."""
    core = openvino.Core()
    network = core.read_model(file)
    own_quantization(network)
    size = network.input(0).get_partial_shape()[2].get_length()
    network = take_pixels(network, Preprocessing.for_image_size((size, size)), batch_size)
    native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if native and precision != "fp32" else "f32",
        "INFERENCE_NUM_THREADS": usable_cores(),
        "NUM_STREAMS": 1,
        "PERF_COUNT": True,
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    images = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, 3), np.uint8)
    passes: dict[str, list[float]] = defaultdict(list)
    for number in range(50):
        request.infer([images])
        taken: dict[str, float] = defaultdict(float)
        for operation in request.profiling_info:
            if operation.status.name == "EXECUTED":
                taken[KINDS.get(operation.node_type, REST)] += operation.real_time.total_seconds()
        for kind, seconds in taken.items() if number >= 20 else ():
            passes[kind].append(seconds)
    return {kind: statistics.median(values) for kind, values in passes.items()}


if __name__ == "__main__":
    main()
