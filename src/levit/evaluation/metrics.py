"""Metrics as functions of counts: proportions with confidence intervals, per-class metrics, calibration of scores.

All metrics are fractions in [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite, nan, sqrt

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Values = NDArray[np.float64]

NORMAL_QUANTILE = 1.959963984540054
"""Number of standard deviations on each side of the mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Estimate:
    """An estimate with its 95 % confidence interval.

    Attributes:
        value: the estimate: a fraction in [0, 1], or a difference of two fractions in [-1, 1]; NaN without images.
        low: lower bound of the interval.
        high: upper bound of the interval.
    """

    value: float
    low: float
    high: float


def proportion(count: int, total: int) -> Estimate:
    """Estimate a proportion from a sample, with the interval of Wilson (1927).

    Args:
        count: number of images with the property, from 0 to `total`.
        total: number of images.

    Returns:
        Fractions in [0, 1]. Where `total` is 0, the value is NaN and the interval 0 to 1.

    Examples:
        >>> proportion(90, 100)
        Estimate(value=0.9, low=0.825..., high=0.944...)
    """
    if total == 0:
        return Estimate(nan, 0.0, 1.0)
    z, value = NORMAL_QUANTILE, count / total
    center = (value + z**2 / (2 * total)) / (1 + z**2 / total)
    margin = z / (1 + z**2 / total) * sqrt(value * (1 - value) / total + z**2 / (4 * total**2))
    # The minimum and maximum keep the value inside of the interval despite rounding.
    return Estimate(value, min(max(0.0, center - margin), value), max(min(1.0, center + margin), value))


def mean_defined(values: Iterable[float]) -> float:
    """Mean of the values that are finite; NaN without any.

    Examples:
        >>> mean_defined([1.0, nan, 0.5])
        0.75
    """
    defined = [float(value) for value in values if isfinite(value)]
    return sum(defined) / len(defined) if defined else nan


@dataclass(frozen=True)
class ClassMetrics:
    """Precision, recall and F1 of each class, as scikit-learn defines them.

    Attributes:
        support: number of images of the class: int64 [classes].
        predicted: number of images that are predicted as the class: int64 [classes].
        precision: fraction of the predictions of the class that are correct: float64 [classes] in [0, 1]; NaN for a
            class that is never predicted.
        recall: fraction of the images of the class that are predicted as it; NaN for a class without images.
        f1: harmonic mean of both, 2 correct / (support + predicted); NaN for a class without images and predictions.
    """

    support: Counts
    predicted: Counts
    precision: Values
    recall: Values
    f1: Values

    def occurring(self, classes: Sequence[int]) -> list[int]:
        """Select the classes that have images or predictions."""
        return [index for index in classes if self.support[index] + self.predicted[index]]

    def means(self, classes: Sequence[int]) -> tuple[float, float, float]:
        """Macro-average recall, precision and F1 over `classes`, as scikit-learn does with `labels=classes`.

        Recall is averaged over classes with images; precision and F1 over classes with images or predictions, where
        those of a class that is never predicted count as 0. A prediction of a class that is not one of `classes` lowers
        the recall of the class of its image, but no precision.
        """
        with_images = [index for index in classes if self.support[index]]
        precision, f1 = (np.nan_to_num(values[self.occurring(classes)]) for values in (self.precision, self.f1))
        return float(self.recall[with_images].mean()), float(precision.mean()), float(f1.mean())


def class_metrics(correct: Counts, support: Counts, predicted: Counts) -> ClassMetrics:
    """Precision, recall and F1 from counts per class.

    Args:
        correct: number of correct predictions of each class: int64 [classes].
        support: number of images of each class.
        predicted: number of predictions of each class.

    Examples:
        >>> class_metrics(np.array([3, 4]), np.array([4, 4]), np.array([3, 5])).recall
        array([0.75, 1.  ])
    """
    with np.errstate(invalid="ignore"):
        f1 = 2 * correct / (support + predicted)
        return ClassMetrics(support, predicted, correct / predicted, correct / support, f1)


@dataclass(frozen=True)
class Calibration:
    """Agreement of scores with accuracy: images in bins of equal width by the score of the predicted class.

    Attributes:
        num_images: number of images in each bin: int64 [bins].
        score: mean score in each bin: float64 [bins] in [0, 1]; NaN in an empty bin.
        accuracy: fraction of correct predictions in each bin: float64 [bins] in [0, 1]; NaN in an empty bin.
        error: expected calibration error (Guo et al., 2017): the mean absolute difference of score and accuracy over
            bins, weighted by the number of images, in [0, 1].
    """

    num_images: Counts
    score: Values
    accuracy: Values
    error: float


def calibration(num_images: Counts, score_sums: Values, num_correct: Counts) -> Calibration:
    """Calibration from sums per bin.

    Args:
        num_images: number of images in each bin: int64 [bins].
        score_sums: sum of their scores: float64 [bins].
        num_correct: number of correct predictions among them: int64 [bins].

    Examples:
        >>> calibration(np.array([0, 4]), np.array([0, 3.6]), np.array([0, 3])).error
        0.15...
    """
    with np.errstate(invalid="ignore"):
        score, accuracy = score_sums / num_images, num_correct / num_images
    gaps = np.abs(score_sums - num_correct)
    return Calibration(num_images, score, accuracy, float(gaps.sum() / max(1, num_images.sum())))
