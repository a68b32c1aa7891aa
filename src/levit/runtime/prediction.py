"""Predictions of a classifier: logits, scores and labels of one image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from levit.errors import ConfigError, ImageError


@dataclass(frozen=True, slots=True)
class Label:
    """Class with its score.

    Attributes:
        name: name of the class.
        index: index of the class in the logits, from 0 to the number of classes - 1; -1 for the label "unknown" of
            `levit predict`.
        score: probability of the class, in [0, 1]; for "unknown", that of the most probable class, which is below the
            threshold.
    """

    name: str
    index: int
    score: float


@dataclass(frozen=True, eq=False)  # arrays cannot be compared to one bool, so predictions are compared by identity
class Prediction:
    """Prediction for one image, or the error of an image that cannot be classified.

    Attributes:
        source: path of the image, or a description of an image in memory.
        logits: float32 [classes]; empty after an error.
        labels: names of the classes.
        error: error of an image that cannot be classified, otherwise None.
        temperature: number above 0 by which the logits are divided before they become scores; 1 in a model that is not
            calibrated.
        threshold: score in [0, 1] of the best label below which the prediction is unknown; 0 in a model that is not
            calibrated.
        is_multi_label: True for a model with any number of labels per image, whose scores are independent.
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
        """True for a rejected image: the score of the best label is below the threshold."""
        return self.error is None and self.threshold > 0 and bool(self.scores.max() < self.threshold)

    @property
    def scores(self) -> NDArray[np.float32]:
        """Probability of each class, float32 [classes] in [0, 1]; empty after an error.

        They are the softmax of the logits and sum to 1, or in a multi-label model their sigmoid.
        """
        if self.error is not None:
            return self.logits
        temperature = np.float32(self.temperature)
        if self.is_multi_label:
            return sigmoid(self.logits / temperature)
        exponentials = np.exp((self.logits - self.logits.max()) / temperature)
        return np.asarray(exponentials / exponentials.sum(), np.float32)

    def top(self, k: int = 5) -> list[Label]:
        """The `k` most probable classes, highest score first; all if there are fewer, none after an error.

        Raises:
            ConfigError: `k` is less than 1.
        """
        if k < 1:
            raise ConfigError(f"is {k}", source="k", hint="give at least 1")
        scores = self.scores
        best = np.argsort(-self.logits, kind="stable")[:k]  # of logits, because different logits may have equal scores
        return [Label(self.labels[index], int(index), float(scores[index])) for index in best]


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logistic sigmoid, without overflow: the scores of a multi-label model.

    Args:
        logits: float32 of any shape.

    Returns:
        float32 of the same shape, in [0, 1].

    Examples:
        >>> sigmoid(np.float32([-1000, 0, 1000])).tolist()
        [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)
