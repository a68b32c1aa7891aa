"""Peak rate of large matrix products on this machine, to which the rate of a network is compared."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from levit.benchmarking.workers import Handler, Response, Worker, run_rounds, serve
from levit.runtime.cpu_count import usable_cores

if TYPE_CHECKING:
    from levit.runtime.openvino_core import openvino

_ROWS, _WIDTH, _LAYERS = 2048, 1024, 4  # of a batch of activations and square weights that stay in the cache
_MIN_PASSES = 5
_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def measure_peaks(
    precisions: Sequence[str], *, rounds: int, seconds: float, threads: int | None = None
) -> dict[str, float]:
    """Measure the peak in several precisions, in a worker process and in alternating rounds.

    Args:
        precisions: "fp32", "bf16" or "int8".
        rounds: number of rounds, whose median is returned.
        seconds: minimum duration of each measurement.
        threads: number of threads; None for the cores that this process may use.

    Returns:
        For each precision, 1e9 multiply-adds per second; an empty dictionary without OpenVINO.
    """
    if find_spec("openvino") is None:
        return {}
    requests = [{"precision": precision, "seconds": seconds, "threads": threads} for precision in precisions]
    with Worker("peak", [sys.executable, "-P", "-m", __name__]) as worker:
        (responses,) = run_rounds([worker], requests, rounds).values()
    return {
        precision: statistics.median(response["peak"] for response in responses_of_precision)
        for precision, responses_of_precision in zip(precisions, responses, strict=True)
    }


def measure_peak(precision: str, seconds: float, threads: int | None = None) -> float:
    """Measure the peak in this process.

    Args:
        precision: "fp32", "bf16" or "int8".
        seconds: minimum duration; the median of at least five passes is returned.
        threads: number of threads; None for the cores that this process may use.

    Returns:
        1e9 multiply-adds per second.
    """
    from levit.runtime.openvino_core import openvino_core

    generator = np.random.default_rng(0)
    settings = {
        "INFERENCE_PRECISION_HINT": _PRECISION_HINTS[precision],
        "INFERENCE_NUM_THREADS": threads or usable_cores(),
        "NUM_STREAMS": 1,
    }
    model = _build_model(generator, is_quantized=precision == "int8")
    request = openvino_core().compile_model(model, "CPU", settings).create_infer_request()
    batch = generator.standard_normal((_ROWS, _WIDTH), np.float32)
    request.infer([batch], share_inputs=True)
    durations: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(durations) < _MIN_PASSES:
        start = time.perf_counter()
        request.infer([batch], share_inputs=True, share_outputs=True)
        durations.append(time.perf_counter() - start)
    return float(_LAYERS * _ROWS * _WIDTH * _WIDTH / statistics.median(durations) / 1e9)


def _build_model(generator: np.random.Generator, *, is_quantized: bool) -> openvino.Model:
    """Build a chain of matrix products with random weights."""
    from levit.runtime.openvino_core import openvino

    operations = openvino.opset13
    inputs = operations.parameter([_ROWS, _WIDTH], np.float32)
    x: Any = inputs
    for _ in range(_LAYERS):
        weight: Any = operations.constant(generator.standard_normal((_WIDTH, _WIDTH), np.float32) / _WIDTH**0.5)
        if is_quantized:
            x, weight = (_fake_quantize(operations, values, levels) for values, levels in ((x, 256), (weight, 255)))
        x = operations.matmul(x, weight, False, False)
    return openvino.Model([x], [inputs])


def _fake_quantize(operations: Any, values: Any, levels: int) -> Any:
    low, high = np.float32(-4), np.float32(4)
    return operations.fake_quantize(values, low, high, low, high, levels=levels)


def _start() -> tuple[Handler, Response]:
    return lambda **request: {"peak": measure_peak(**request)}, {}


if __name__ == "__main__":
    serve(_start)
