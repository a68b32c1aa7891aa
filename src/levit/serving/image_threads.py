"""Threads that decode the images of concurrent requests, and compute them in batches."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError, LevitError
from levit.runtime.image_results import DEFAULT_BATCH_SIZE, ImageResult
from levit.serving.image_work import AnyWork, Delivery
from levit.serving.metrics import Metrics
from levit.serving.served_model import ServedModel


class _EncodedImage(NamedTuple):
    """Image of a request, by its number, that waits to be decoded since a time."""

    work: AnyWork
    number: int
    since: float


class _DecodedImage(NamedTuple):
    """Network input that waits to be computed, uint8 [height, width, 3]."""

    work: AnyWork
    number: int
    pixels: NDArray[np.uint8]


class ImageThreads:
    """Threads that decode images and compute them; each does both, so that none waits for another.

    A thread decodes one image after the other. As soon as enough images for a batch are decoded, or there are no more
    to decode, it computes them. Under light load an image is computed at once and alone; under heavy load batches are
    full. The native engine computes the same logits either way, others within rounding.

    Args:
        count: number of threads, at least 1.
        metrics: metrics of the stages.
    """

    def __init__(self, count: int, metrics: Metrics) -> None:
        self._metrics = metrics
        self._encoded: SimpleQueue[_EncodedImage | None] = SimpleQueue()
        self._decoded: list[_DecodedImage] = []
        self._deliveries: deque[Delivery] = deque()
        self._observations: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._busy = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        # Daemons, so that a program that does not close them can end.
        names = [f"levit-images-{number}" for number in range(count)]
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for name in names]

    def add(self, work: AnyWork) -> None:
        """Compute the images of a request; the thread of the event loop calls it."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            for thread in self._threads:
                thread.start()
        now = time.perf_counter()
        for index in range(len(work.images)):
            self._encoded.put(_EncodedImage(work, index, now))

    def close(self) -> None:
        """End the threads after what they are computing; images that wait are left out."""
        while not self._encoded.empty():
            with suppress(Exception):  # a thread may have taken the last one
                self._encoded.get_nowait()
        for _ in self._threads:
            self._encoded.put(None)

    def _run(self) -> None:
        while (image := self._encoded.get()) is not None:
            with self._lock:
                self._busy += 1
            self._decode(image)
            del image  # this thread may wait for the next one for a long time
            while batch := self._next_batch():
                self._compute(batch)
            self._send()
            with self._lock:
                self._busy -= 1

    def _decode(self, image: _EncodedImage) -> None:
        work, index, since = image
        start = time.perf_counter()
        self._observe_stage(work, "queue", start - since)
        pixels = work.decode(index)
        if isinstance(pixels, np.ndarray):
            self._observe_stage(work, "decode", time.perf_counter() - start)
            with self._lock:
                self._decoded.append(_DecodedImage(work, index, pixels))
        else:
            self._finish([(work, index, pixels)])

    def _next_batch(self) -> list[_DecodedImage]:
        """The images that this thread computes next, of one model; none if it should rather decode."""
        with self._lock:
            if not self._decoded:
                return []
            model = self._decoded[0].work.model
            if len(self._decoded) < model.batch_size and not self._encoded.empty():
                return []
            batch: list[_DecodedImage] = []
            others: list[_DecodedImage] = []
            for image in self._decoded:
                is_taken = image.work.model is model and len(batch) < DEFAULT_BATCH_SIZE
                (batch if is_taken else others).append(image)
            self._decoded = others
            return batch

    def _compute(self, batch: Sequence[_DecodedImage]) -> None:
        refusals = [image.work.refusal() for image in batch]
        self._finish((*image[:2], error) for image, error in zip(batch, refusals, strict=True) if error is not None)
        needed = [image for image, error in zip(batch, refusals, strict=True) if error is None]
        if not needed:
            return
        model, start = needed[0].work.model, time.perf_counter()
        results = self._results(model, needed)
        seconds = time.perf_counter() - start
        self._observations.append(partial(self._metrics.observe_batch, model.name, seconds, len(needed)))
        self._finish((*image[:2], result) for image, result in zip(needed, results, strict=True))

    def _results(self, model: ServedModel, batch: Sequence[_DecodedImage]) -> Sequence[ImageResult | LevitError]:
        names = [image.work.images[image.number].result_name for image in batch]
        try:
            return model.compute(names, [image.pixels for image in batch], is_alone=self._busy == 1)
        except LevitError as error:
            return [error] * len(batch)
        except Exception as error:  # MemoryError, for instance; the thread must stay able to compute
            return [EngineError(f"the computation failed ({type(error).__name__})")] * len(batch)

    def _finish(self, results: Iterable[tuple[AnyWork, int, ImageResult | LevitError]]) -> None:
        for work, index, result in results:
            delivery = work.finish(index, result)
            if delivery is not None:
                self._deliveries.append(delivery)

    def _send(self) -> None:
        """Let the event loop deliver what is finished; it wakes up once for a whole batch."""
        if self._deliveries and self._loop is not None:
            with suppress(RuntimeError):  # the event loop has ended, after a second signal
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        while self._deliveries:
            self._deliveries.popleft()()
        if self._loop is not None:  # after the responses are written, because the clients wait for them
            self._loop.call_soon(self._observe)

    def _observe_stage(self, work: AnyWork, stage: str, seconds: float) -> None:
        self._observations.append(partial(self._metrics.observe_stage, work.model.name, stage, seconds))

    def _observe(self) -> None:
        while self._observations:
            self._observations.popleft()()
