"""The process in which one model is measured: `levit.benchmarking.benchmark` asks, this answers."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from levit.benchmarking.timing import measure_latency, measure_throughput, percentile
from levit.benchmarking.workers import Answer, serve
from levit.runtime.classifier import Classifier
from levit.runtime.cpu_count import usable_cores

_WARM_UP = 0.3  # seconds


def main() -> None:
    """Open the model, classify one image, say so, and serve."""
    options: dict[str, Any] = json.loads(sys.argv[1])
    model = options.pop("model")
    classify = Classifier(model, **options)
    height, width = classify.artifact.architecture.image_height_width
    images = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    classify(images)
    engine, seen = classify.engine, set()

    def answer(batch_size: int, seconds: float) -> Answer:
        batch = np.repeat(images[None], batch_size, axis=0)
        if batch_size not in seen:  # compiles it
            measure_latency(engine, batch, _WARM_UP)
            measure_throughput(engine, batch, _WARM_UP)
            seen.add(batch_size)
        latencies = measure_latency(engine, batch, seconds)
        return {
            "images_per_second": measure_throughput(engine, batch, seconds),
            "p50": percentile(latencies, 0.5),
            "p95": percentile(latencies, 0.95),
            "peak_memory": _peak_memory(),
        }

    greeting = {
        "model": model,
        "name": classify.artifact.source.name,
        "engine": engine.name,
        "precision": engine.precision,
        "threads": options.get("threads") or usable_cores(),
        "architecture": classify.artifact.architecture.to_dict(),
    }
    serve(answer, greeting)


def _peak_memory() -> int | None:
    """The most memory that this process has had, in bytes, where the system counts it."""
    with suppress(OSError):  # on Linux, what is asked for below counts the process that started this one, too
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    try:
        import resource
    except ImportError:  # on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main()
