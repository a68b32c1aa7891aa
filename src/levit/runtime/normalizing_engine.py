"""Adapter that gives every engine the methods of an `ImageEngine`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from levit.images.transform import normalize
from levit.managed_engine import ManagedEngine, ProcessGuard, schedule_in_slot
from levit.runtime.engine import Engine, ImageEngine
from levit.spec.artifact import Artifact
from levit.spec.network_input import NetworkInput
from levit.spec.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_MAX_PENDING_BATCHES = 2  # one is computed and one waits


def as_image_engine(engine: Engine, preprocessing: Preprocessing) -> ImageEngine:
    """Return the engine itself if it takes images, otherwise an adapter that normalizes them for it.

    Args:
        engine: any engine.
        preprocessing: rescaling, mean and standard deviation of the normalization.
    """
    return engine if isinstance(engine, ImageEngine) else NormalizingEngine(engine, preprocessing)


class NormalizingEngine(ManagedEngine):
    """Engine for images on top of an engine for normalized values; batches are computed one after the other.

    Closing it ends its thread, and leaves the other engine open.

    Args:
        engine: the engine that computes the logits.
        preprocessing: rescaling, mean and standard deviation of the normalization.
    """

    def __init__(self, engine: Engine, preprocessing: Preprocessing) -> None:
        super().__init__(ProcessGuard("this classifier"))
        self.name, self.precision, self.reason = engine.name, engine.precision, engine.reason
        self.metadata: Mapping[str, str] = engine.metadata
        self._engine = engine
        architecture = Artifact.from_metadata(engine.metadata).architecture
        self._input = NetworkInput.of_architecture(engine.name, architecture)
        self._preprocessing = preprocessing
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="levit-compute")
        self._slots = threading.Semaphore(_MAX_PENDING_BATCHES)

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of normalized images: float32 [B, channels, height, width] -> float32 [B, classes]."""
        with self._computing():
            return self._engine.run(pixel_values)

    def run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits of images: uint8 [B, height, width, 3] -> float32 [B, classes]."""
        with self._computing():
            return self._run_images(images)

    def submit(self, images: NDArray[np.uint8], batch_size: int) -> Future[NDArray[np.float32]]:
        """Start computing one batch of a stream: uint8 [B, height, width, 3] -> future of float32 [B, classes].

        It blocks while two batches are pending.
        """
        with self._computing():
            return schedule_in_slot(self._slots, self._worker, self._run_images, images)

    def _run_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._input.check_images(images)
        return self._engine.run(normalize(images, self._preprocessing))

    def _release(self) -> None:
        self._worker.shutdown(wait=True)
