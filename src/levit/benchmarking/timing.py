"""How fast an engine is: images a second while there is always more to do, and how long one batch takes alone."""

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

_AHEAD = 2  # batches beyond one for each core that are submitted before the first of them is waited for


def measure_throughput(engine: Engine, images: NDArray[np.uint8], seconds: float) -> float:
    """Images a second, batch after batch.

    Args:
        engine: what to measure; it should have seen such a batch before.
        images: uint8 [B, height, width, 3].
        seconds: for how long.
    """
    submit, most = submitter(engine, images), usable_cores() + _AHEAD
    waiting: deque[Future[Any]] = deque()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        waiting.append(submit())
        if len(waiting) > most:
            waiting.popleft().result()
        count += len(images)
    for future in waiting:
        future.result()
    return count / (time.perf_counter() - start)


def measure_latency(engine: Engine, images: NDArray[np.uint8], seconds: float) -> list[float]:
    """Seconds that each of many batches takes from the call to the answer, one at a time.

    Args:
        engine: what to measure; it should have seen such a batch before.
        images: uint8 [B, height, width, 3].
        seconds: for how long; at least five batches.
    """
    if len(images) == 1 and isinstance(engine, ImageEngine):
        call: Callable[[], object] = lambda: engine.run_images(images)  # noqa: E731
    else:
        submit = submitter(engine, images)
        call = lambda: submit().result()  # noqa: E731
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 5:
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return taken


def submitter(engine: Engine, images: NDArray[np.uint8]) -> Callable[[], Future[NDArray[np.float32]]]:
    """A function that starts to compute the batch, as `levit.Classifier.stream` does it."""
    if isinstance(engine, ImageEngine):
        return lambda: engine.submit(images, len(images))
    preprocessing = Artifact.from_metadata(engine.metadata).preprocessing

    def run() -> Future[NDArray[np.float32]]:
        future: Future[NDArray[np.float32]] = Future()
        future.set_result(engine.run(normalize(images, preprocessing)))
        return future

    return run


def percentile(values: list[float], share: float) -> float:
    """The value that a share of all values does not exceed: 0.5 is the median.

    Examples:
        >>> percentile([3.0, 1.0, 2.0], 0.5)
        2.0
    """
    return float(np.quantile(values, share))
