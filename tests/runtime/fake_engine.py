"""Engine without a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from levit.managed_engine import ManagedEngine
from levit.spec.artifact import Artifact
from levit.spec.network_input import NetworkInput

Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class FakeEngine(ManagedEngine):
    """Engine that computes logits with a Python function, and records its input batches.

    Args:
        artifact: description of the model.
        logits: function from float32 [B, channels, height, width] to float32 [B, classes].

    Attributes:
        batches: inputs of all calls of `run`, each float32 [B, channels, height, width].
    """

    name = "fake"
    precision = "fp32"
    reason = "fp32, because the logits are computed by a Python function"

    def __init__(self, artifact: Artifact, logits: Logits) -> None:
        super().__init__()
        self.metadata: Mapping[str, str] = artifact.to_metadata()
        self.batches: list[NDArray[np.float32]] = []
        self._logits = logits
        self._input = NetworkInput(self.name)  # images of any size

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of normalized images: float32 [B, channels, height, width] -> float32 [B, classes]."""
        with self._computing():
            self._input.check_values(pixel_values)
            self.batches.append(pixel_values)
            return self._logits(pixel_values)
