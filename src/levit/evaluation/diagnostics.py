"""Diagnostics of single-label predictions: confusion matrix, calibration of scores, most confident mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from levit.evaluation.metrics import Calibration, Counts, calibration
from levit.evaluation.top_k import TopK
from levit.images.decoding import ImageSource

NUM_BINS = 15
NUM_MISTAKES = 24


@dataclass(frozen=True)
class Mistake:
    """A wrong prediction.

    Attributes:
        name: name of the image.
        image: the image.
        target: index of its class among the labels of the model.
        predicted: index of the predicted class.
        score: score of the predicted class, in [0, 1].
    """

    name: str
    image: ImageSource
    target: int
    predicted: int
    score: float


class Diagnostics:
    """Accumulator of a confusion matrix, a score histogram and the most confident mistakes.

    Args:
        num_classes: number of classes of the model.

    Attributes:
        confusion: number of images by true and predicted class: int64 [classes, classes].
    """

    def __init__(self, num_classes: int) -> None:
        self.confusion: Counts = np.zeros((num_classes, num_classes), np.int64)
        self._num_images = np.zeros(NUM_BINS, np.int64)
        self._score_sums = np.zeros(NUM_BINS, np.float64)
        self._num_correct = np.zeros(NUM_BINS, np.int64)
        self._mistakes = TopK[Mistake](NUM_MISTAKES)

    def add(self, name: str, image: ImageSource, *, target: int, predicted: int, score: float) -> None:
        """Count one image; the arguments are the fields of `Mistake`."""
        self.confusion[target, predicted] += 1
        index = min(int(score * NUM_BINS), NUM_BINS - 1)
        self._num_images[index] += 1
        self._score_sums[index] += score
        self._num_correct[index] += predicted == target
        if predicted != target:
            self._mistakes.add(score, Mistake(name, image, target, predicted, score))

    def calibration(self) -> Calibration:
        """Agreement of scores with accuracy, in 15 bins."""
        return calibration(self._num_images, self._score_sums, self._num_correct)

    def mistakes(self) -> tuple[Mistake, ...]:
        """The 24 mistakes with the highest scores, in descending order."""
        return tuple(self._mistakes.items())
