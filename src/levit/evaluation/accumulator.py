"""Answers as they come -> counts, whatever their number: what an evaluation keeps of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from levit.evaluation.metrics import Counts, Values
from levit.evaluation.top_k import Highest
from levit.images.decoding import ImageSource
from levit.runtime.prediction import Prediction

BINS = 15
KEPT_MISTAKES = 24


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: the image, what it is, what the model says, and how sure it is."""

    name: str
    image: ImageSource
    truth: int
    answer: int
    score: float


@dataclass(frozen=True)
class BadImage:
    """An image that was not judged, and why."""

    name: str
    reason: str


@dataclass
class Tally:
    """Counts of the answers to images of one class each.

    Attributes:
        classes: how many classes the model has.
        confusion: images by true class and answer: int64 [classes, classes].
        top5: images whose class is among the five best.
        bins: images by the best label's score, with the sum of the scores, and how many are right.
    """

    classes: int
    confusion: Counts = field(init=False)
    top5: int = 0
    images_in_bins: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))
    scores_in_bins: Values = field(default_factory=lambda: np.zeros(BINS, np.float64))
    right_in_bins: Counts = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def __post_init__(self) -> None:
        self.confusion = np.zeros((self.classes, self.classes), np.int64)
        self._mistakes = Highest[Mistake](KEPT_MISTAKES)

    def add(self, prediction: Prediction, truths: Sequence[int], *, name: str, image: ImageSource) -> int:
        """Count one answer to an image that is any of some classes.

        Returns:
            Which of them it counts as: the one that is answered, otherwise the first.
        """
        scores = prediction.scores
        best = np.argsort(-prediction.logits, kind="stable")[:5]  # scores may be rounded to the same
        answer, score = int(best[0]), float(scores[best[0]])
        truth = answer if answer in truths else truths[0]
        self.confusion[truth, answer] += 1
        self.top5 += any(one in best for one in truths)
        place = min(int(score * BINS), BINS - 1)
        self.images_in_bins[place] += 1
        self.scores_in_bins[place] += score
        self.right_in_bins[place] += answer == truth
        if answer != truth:
            self._mistakes.add(score, Mistake(name, image, truth, answer, score))
        return truth

    @property
    def images(self) -> int:
        """How many were counted."""
        return int(self.confusion.sum())

    @property
    def right(self) -> int:
        """How many of them were right."""
        return int(np.trace(self.confusion))

    def mistakes(self) -> list[Mistake]:
        """The mistakes that the model was surest of, the surest first."""
        return self._mistakes.items()
