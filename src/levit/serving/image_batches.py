"""Batches of decoded images from concurrent requests, computed by the threads that decoded them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from levit.errors import EngineError, LevitError
from levit.runtime.image_results import DEFAULT_BATCH_SIZE, ImageComputation, ImageResult
from levit.serving.deadlines import Deadline

Finish = Callable[[ImageResult | LevitError], None]

NO_ROW = np.empty(0, np.float32)
"""Row of an image with an error."""


@dataclass(frozen=True, slots=True)
class WaitingImage:
    """Preprocessed image that waits for its computation.

    Attributes:
        name: name of the image in its result.
        pixels: network input, uint8 [height, width, 3].
        deadline: deadline of its request.
        finish: called with the result, or with the error of the whole request, by the thread that has computed it.
    """

    name: str
    pixels: NDArray[np.uint8]
    deadline: Deadline
    finish: Finish


class ImageBatches:
    """Queue of decoded images of one model, which are computed in batches.

    A thread that has decoded an image adds it. If fewer than `leaders` threads are computing, this thread computes the
    images that wait, also those that other threads add meanwhile, until there are none. Under light load an image is
    computed at once and alone; under heavy load batches are full. The engines compute the same logits either way.

    Args:
        computation: computation of the model.
        leaders: number of threads that may compute at once, at least 1.
        observe: called with the seconds that each batch took, and its number of images.
    """

    def __init__(
        self,
        computation: ImageComputation,
        *,
        leaders: int = 1,
        observe: Callable[[float, int], None] = lambda seconds, images: None,
    ) -> None:
        self._computation = computation
        self._leaders = leaders
        self._observe = observe
        self._lock = threading.Lock()
        self._waiting: deque[WaitingImage] = deque()
        self._computing = 0

    def add(self, image: WaitingImage) -> None:
        """Compute an image, in this thread or in one that is computing already."""
        with self._lock:
            self._waiting.append(image)
            if self._computing >= self._leaders:
                return
            self._computing += 1
        while batch := self._next_batch():
            self._compute(batch)

    def _next_batch(self) -> list[WaitingImage]:
        """The images that are computed next; if there are none, this thread computes no more."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), DEFAULT_BATCH_SIZE))]
            if not batch:
                self._computing -= 1
            return batch

    def _compute(self, batch: list[WaitingImage]) -> None:
        needed = [image for image in batch if _is_needed(image)]
        if not needed:
            return
        start = time.perf_counter()
        for image, result in zip(needed, self._results(needed), strict=True):
            image.finish(result)
        self._observe(time.perf_counter() - start, len(needed))

    def _results(self, batch: list[WaitingImage]) -> Sequence[ImageResult | LevitError]:
        try:
            return self._computation.compute([image.name for image in batch], [image.pixels for image in batch])
        except LevitError as error:
            return [error] * len(batch)
        except Exception as error:  # MemoryError, for instance; the thread must stay able to compute
            return [EngineError(f"the computation failed ({type(error).__name__})")] * len(batch)


def _is_needed(image: WaitingImage) -> bool:
    """Whether the result of an image is needed; a request that has ended gets its error at once."""
    try:
        image.deadline.check()
    except LevitError as error:
        image.finish(error)
        return False
    return True
