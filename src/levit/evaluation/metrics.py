"""What counts of right and wrong answers say: shares with intervals, per class, and how far scores can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Values = NDArray[np.float64]

_Z = 1.959963984540054  # of a normal distribution, 95 % lie within so many standard deviations


@dataclass(frozen=True)
class Share:
    """A share in per cent, with the interval that holds the true one in 95 of 100 samples (Wilson, 1927)."""

    percent: float
    low: float
    high: float


def share(count: int, whole: int) -> Share:
    """A share of a sample.

    Examples:
        >>> share(90, 100)
        Share(percent=90.0, low=82.5..., high=94.4...)
    """
    if whole == 0:
        return Share(float("nan"), 0.0, 100.0)
    part = count / whole
    center = (part + _Z**2 / (2 * whole)) / (1 + _Z**2 / whole)
    half = _Z / (1 + _Z**2 / whole) * sqrt(part * (1 - part) / whole + _Z**2 / (4 * whole**2))
    low, high = max(0.0, center - half), min(1.0, center + half)
    return Share(100 * part, 100 * min(low, part), 100 * max(high, part))  # rounding aside, the share lies between


@dataclass(frozen=True)
class PerClass:
    """Of each class: how often it is there, and how well it is found.

    Attributes:
        support: images of the class: int64 [classes].
        answers: images that the model takes for it.
        precision: which share of those is right; NaN where there are none.
        recall: which share of the class's images is found; NaN where there are none.
        f1: their harmonic mean, 2 right / (support + answers); NaN where there is nothing to find and nothing found.
    """

    support: Counts
    answers: Counts
    precision: Values
    recall: Values
    f1: Values

    def among(self, classes: Sequence[int]) -> list[int]:
        """Those of some classes that have images or answers."""
        return [index for index in classes if self.support[index] + self.answers[index]]

    def means(self, classes: Sequence[int]) -> tuple[float, float, float]:
        """The mean recall, precision and F1 of some classes.

        The first is of those with images; the others of those with images or answers, where one that is never answered
        counts as 0.
        """
        there = [index for index in classes if self.support[index]]
        precision, f1 = (np.nan_to_num(values[self.among(classes)]) for values in (self.precision, self.f1))
        return float(self.recall[there].mean()), float(precision.mean()), float(f1.mean())


def per_class(confusion: Counts) -> PerClass:
    """Precision, recall and F1, as scikit-learn defines them.

    Args:
        confusion: [true class, answer].

    Examples:
        >>> per_class(np.array([[3, 1], [0, 4]])).recall
        array([0.75, 1.  ])
    """
    right, support, answers = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return PerClass(support, answers, right / answers, right / support, 2 * right / (support + answers))


@dataclass(frozen=True)
class Calibration:
    """Answers by the score of the best label, in bins of equal width.

    Attributes:
        images: how many in each bin: int64 [bins].
        score: the mean score in each; NaN where there are none.
        accuracy: the share of right ones in each.
        error: the expected calibration error (Guo et al., 2017): the mean distance between score and accuracy.
    """

    images: Counts
    score: Values
    accuracy: Values
    error: float


def calibration(images: Counts, scores: Values, right: Counts) -> Calibration:
    """From the number of images, the sum of their scores, and the number of right ones in each bin.

    Examples:
        >>> calibration(np.array([0, 4]), np.array([0, 3.6]), np.array([0, 3])).error
        0.15...
    """
    with np.errstate(invalid="ignore"):
        score, accuracy = scores / images, right / images
    gaps = np.abs(scores - right)
    return Calibration(images, score, accuracy, float(gaps.sum() / max(1, images.sum())))
