"""What the model says of one image: Prediction and its Labels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from levit.errors import ImageError


@dataclass(frozen=True, slots=True)
class Label:
    """One class with its probability."""

    name: str
    index: int
    score: float


@dataclass(frozen=True, eq=False)  # arrays have no one truth value, so predictions are compared by identity
class Prediction:
    """What the model says of one image; `error` is set where there was none to be classified.

    Attributes:
        source: the image's path, or what kind of thing it is.
        logits: float32 [classes]; empty where there is an error.
        labels: the names of the classes.
        error: why the image could not be classified.
        temperature: what the logits are divided by before they become scores; of a calibrated model.
        threshold: the score of the best label below which the answer is unknown; of a calibrated model.
        is_multi_label: whether each label is decided by itself.
    """

    source: str
    logits: NDArray[np.float32] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    error: ImageError | None = None
    temperature: float = 1.0
    threshold: float = 0.0
    is_multi_label: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether the model should not answer: its best label's score is below the threshold."""
        return self.error is None and self.threshold > 0 and bool(self.scores.max() < self.threshold)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Probability of each class, float32 [classes]: the softmax of the logits.

        Where each label is decided by itself it is their sigmoid, and the sum is not 1.
        """
        if self.error is not None:
            return self.logits
        temperature = np.float32(self.temperature)
        if self.is_multi_label:
            return sigmoid(self.logits / temperature)
        exponentials = np.exp((self.logits - self.logits.max()) / temperature)
        return np.asarray(exponentials / exponentials.sum(), np.float32)

    def top(self, k: int = 5) -> list[Label]:
        """The k most probable classes, best first; fewer where there are fewer classes, none after an error."""
        if k < 1:
            raise ValueError(f"k is {k}: give at least 1")
        scores = self.scores
        best = np.argsort(-self.logits, kind="stable")[:k]  # scores may be rounded to the same
        return [Label(self.labels[index], int(index), float(scores[index])) for index in best]


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of labels that are decided each by itself.

    Examples:
        >>> sigmoid(np.float32([-1000, 0, 1000])).tolist()
        [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)  # which does not overflow
