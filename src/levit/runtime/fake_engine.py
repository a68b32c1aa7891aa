"""An engine without a network, for tests of what stands on an engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from levit.spec.artifact import Artifact

Logits = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class FakeEngine:
    """Answers with a function of the batch instead of a network, and remembers the batches it was given.

    Args:
        artifact: what the model pretends to carry.
        logits: float32 [B, 3, height, width] -> float32 [B, classes].

    Examples:
        >>> import levit, numpy as np
        >>> from levit.spec.artifact import Source
        >>> from levit.spec.preprocessing import Preprocessing
        >>> card = Artifact(
        ...     architecture=levit.Architecture(num_labels=2),
        ...     preprocessing=Preprocessing.for_image_size((224, 224)),
        ...     labels=("dark", "bright"),
        ...     precision="fp32",
        ...     source=Source(name="fake", dialect="none"),
        ... )
        >>> mean = lambda batch: batch.mean((1, 2, 3))
        >>> engine = FakeEngine(card, lambda batch: np.stack([-mean(batch), mean(batch)], axis=1))
        >>> levit.Classifier(engine)(np.full((9, 9, 3), 255, np.uint8)).top(1)[0].name
        'bright'
    """

    name = "fake"
    precision = "fp32"
    reason = "nothing is computed"

    def __init__(self, artifact: Artifact, logits: Logits) -> None:
        self.metadata: Mapping[str, str] = artifact.to_metadata()
        self.batches: list[NDArray[np.float32]] = []
        self._logits = logits

    def run(self, pixel_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The function's answer: [B, classes]."""
        self.batches.append(pixel_values)
        return self._logits(pixel_values)
