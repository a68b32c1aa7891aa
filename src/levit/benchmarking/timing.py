"""Throughput and latency of an engine in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.images.transform import normalize
from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import Engine, ImageEngine
from levit.spec.artifact import Artifact

Clock = Callable[[], float]

_EXTRA_IN_FLIGHT = 2  # batches in flight in addition to one for each core
_MIN_BATCHES = 5  # per measurement of latency


def measure_throughput(
    engine: Engine, images: NDArray[np.uint8], seconds: float, clock: Clock = time.perf_counter
) -> float:
    """Measure the throughput of one batch after the other, with several in flight.

    Args:
        engine: the engine; it should have computed a batch of this size before.
        images: one batch, uint8 [B, height, width, 3].
        seconds: minimum duration.
        clock: current time in seconds.

    Returns:
        Images per second.
    """
    submit = make_submitter(engine, images)
    in_flight: deque[Future[Any]] = deque()
    count, start = 0, clock()
    while clock() - start < seconds:
        in_flight.append(submit())
        if len(in_flight) > usable_cores() + _EXTRA_IN_FLIGHT:
            in_flight.popleft().result()
        count += len(images)
    for future in in_flight:
        future.result()
    return count / (clock() - start)


def measure_latency(
    engine: Engine, images: NDArray[np.uint8], seconds: float, clock: Clock = time.perf_counter
) -> list[float]:
    """Measure the latency of a batch, while nothing else is computed.

    Args:
        engine: the engine; it should have computed a batch of this size before.
        images: one batch, uint8 [B, height, width, 3].
        seconds: minimum duration; at least five batches are measured.
        clock: current time in seconds.

    Returns:
        For each batch, seconds from the call to its logits.
    """
    if len(images) == 1 and isinstance(engine, ImageEngine):
        call: Callable[[], object] = lambda: engine.run_images(images)  # noqa: E731
    else:
        submit = make_submitter(engine, images)
        call = lambda: submit().result()  # noqa: E731
    latencies: list[float] = []
    end = clock() + seconds
    while clock() < end or len(latencies) < _MIN_BATCHES:
        start = clock()
        call()
        latencies.append(clock() - start)
    return latencies


def make_submitter(engine: Engine, images: NDArray[np.uint8]) -> Callable[[], Future[NDArray[np.float32]]]:
    """Build a function that submits the batch in the same way as `levit.Classifier.stream`."""
    if isinstance(engine, ImageEngine):
        return lambda: engine.submit(images, len(images))
    preprocessing = Artifact.from_metadata(engine.metadata).preprocessing

    def run() -> Future[NDArray[np.float32]]:
        future: Future[NDArray[np.float32]] = Future()
        future.set_result(engine.run(normalize(images, preprocessing)))
        return future

    return run


def quantile(values: list[float], fraction: float) -> float:
    """Value that a fraction of all values does not exceed; 0.5 is the median.

    Examples:
        >>> quantile([3.0, 1.0, 2.0], 0.5)
        2.0
    """
    return float(np.quantile(values, fraction))
