"""Throughput and latency of an engine in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import ImageEngine

Clock = Callable[[], float]

_EXTRA_IN_FLIGHT = 2  # batches in flight in addition to one for each thread
_MIN_BATCHES = 5  # per measurement of latency


def measure_throughput(
    engine: ImageEngine,
    images: NDArray[np.uint8],
    seconds: float,
    clock: Clock = time.perf_counter,
    *,
    threads: int | None = None,
) -> float:
    """Measure the throughput of one batch after the other, with several in flight.

    Args:
        engine: the engine; it should have computed a batch of this size before.
        images: one batch, uint8 [B, height, width, 3].
        seconds: minimum duration.
        clock: current time in seconds.
        threads: number of threads of the engine; None for the cores that this process may use.

    Returns:
        Images per second.
    """
    max_in_flight = (threads or usable_cores()) + _EXTRA_IN_FLIGHT
    in_flight: deque[Future[Any]] = deque()
    count, start = 0, clock()
    while clock() - start < seconds:
        in_flight.append(engine.submit(images, len(images)))
        if len(in_flight) > max_in_flight:
            in_flight.popleft().result()
        count += len(images)
    for future in in_flight:
        future.result()
    return count / (clock() - start)


def measure_latency(
    engine: ImageEngine, images: NDArray[np.uint8], seconds: float, clock: Clock = time.perf_counter
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
    latencies: list[float] = []
    end = clock() + seconds
    while clock() < end or len(latencies) < _MIN_BATCHES:
        start = clock()
        if len(images) == 1:
            engine.run_images(images)
        else:
            engine.submit(images, len(images)).result()
        latencies.append(clock() - start)
    return latencies


def quantile(values: list[float], fraction: float) -> float:
    """Value that a fraction of all values does not exceed; 0.5 is the median.

    Examples:
        >>> quantile([3.0, 1.0, 2.0], 0.5)
        2.0
    """
    return float(np.quantile(values, fraction))
