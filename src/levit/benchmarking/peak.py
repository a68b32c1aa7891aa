"""The matrix products that this machine can do a second, measured: what the speed of a network is a share of."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as operations

from levit.benchmarking.workers import serve
from levit.runtime.cpu_count import usable_cores
from levit.runtime.openvino_core import openvino_core

_ROWS, _WIDTH, _LAYERS = 2048, 1024, 4  # of a batch of activations and square weights that stay in the cache
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}


def measure_peak(precision: str, seconds: float, threads: int | None = None) -> float:
    """Multiply-adds a second in large matrix products, times 1e-9.

    Args:
        precision: "fp32", "bf16" or "int8".
        seconds: for how long; the median of the passes counts.
        threads: how many to use; None for the cores that the process may use.
    """
    values = operations.parameter([_ROWS, _WIDTH], np.float32)
    generator = np.random.default_rng(0)
    x: Any = values
    for _ in range(_LAYERS):
        weight: Any = operations.constant(generator.standard_normal((_WIDTH, _WIDTH), np.float32) / _WIDTH**0.5)
        if precision == "int8":
            x, weight = _quantized(x, 256), _quantized(weight, 255)
        x = operations.matmul(x, weight, False, False)
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads or usable_cores(),
        "NUM_STREAMS": 1,
    }
    compiled = openvino_core().compile_model(openvino.Model([x], [values]), "CPU", settings)
    request, batch = compiled.create_infer_request(), generator.standard_normal((_ROWS, _WIDTH), np.float32)
    request.infer([batch], share_inputs=True)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 5:
        start = time.perf_counter()
        request.infer([batch], share_inputs=True, share_outputs=True)
        taken.append(time.perf_counter() - start)
    return float(_LAYERS * _ROWS * _WIDTH * _WIDTH / statistics.median(taken) / 1e9)


def _quantized(values: Any, levels: int) -> Any:
    low, high = np.float32(-4), np.float32(4)
    return operations.fake_quantize(values, low, high, low, high, levels=levels)


if __name__ == "__main__":
    serve(lambda **request: {"peak": measure_peak(**request)})
