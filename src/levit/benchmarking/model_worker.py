"""Worker process that measures one model in one engine."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.benchmarking.timing import measure_latency, measure_throughput, quantile
from levit.benchmarking.workers import Handler, Response, Worker, serve
from levit.runtime.classifier import Classifier
from levit.runtime.engine import ImageEngine
from levit.runtime.normalizing_engine import as_image_engine

_WARM_UP_SECONDS = 0.3


def start_model_worker(
    name: str,
    model: str | None,
    engine: str,
    precision: str,
    threads: int | None,
    environment: dict[str, str],
) -> Worker:
    """Start a worker for one model in one engine.

    Its `info` has the artifact's name (`name`), the engine and precision in use, and the architecture. It is ready
    when the first image is classified. Requests have `batch_size` and `seconds`; responses have `images_per_second`,
    `latency_p50` and `latency_p95` in seconds, and `peak_memory` in bytes or None.

    Raises:
        EngineError: the model cannot be opened.
    """
    options = {"model": model, "engine": engine, "precision": precision, "threads": threads}
    return Worker(name, [sys.executable, "-P", "-m", __name__, json.dumps(options)], environment)


def _start(model: str | None, *, threads: int | None, **options: Any) -> tuple[Handler, Response]:
    """Open the model, classify one random image, and return the handler of requests."""
    classify = Classifier(model, threads=threads, **options)
    artifact = classify.artifact
    engine = as_image_engine(classify.engine, artifact.preprocessing)
    height, width = artifact.architecture.image_height_width
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    classify(image)
    warm_batch_sizes: set[int] = set()

    def handle(batch_size: int, seconds: float) -> Response:
        batch = np.repeat(image[None], batch_size, axis=0)
        if batch_size not in warm_batch_sizes:
            _measure(engine, batch, _WARM_UP_SECONDS, threads)  # compiles the model for this batch size
            warm_batch_sizes.add(batch_size)
        return _measure(engine, batch, seconds, threads)

    info = {
        "name": artifact.source.name,
        "engine": engine.name,
        "precision": engine.precision,
        "architecture": artifact.architecture.to_dict(),
    }
    return handle, info


def _measure(engine: ImageEngine, batch: NDArray[np.uint8], seconds: float, threads: int | None) -> Response:
    latencies = measure_latency(engine, batch, seconds)
    return {
        "images_per_second": measure_throughput(engine, batch, seconds, threads=threads),
        "latency_p50": quantile(latencies, 0.5),
        "latency_p95": quantile(latencies, 0.95),
        "peak_memory": _peak_memory(),
    }


def _peak_memory() -> int | None:
    """Peak resident memory of this process in bytes; None where the system does not report it."""
    with suppress(OSError):  # on Linux, ru_maxrss below includes the process that started this one
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), None)
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    serve(lambda: _start(**json.loads(sys.argv[1])))
