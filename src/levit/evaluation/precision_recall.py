"""Average precision and F1 of labels that are predicted independently (multi-label classification)."""

from __future__ import annotations

from math import inf, nan

import numpy as np
from numpy.typing import NDArray

from levit.evaluation.metrics import class_metrics, mean_defined

Scores = NDArray[np.float32]
Truth = NDArray[np.bool_]


def average_precision(scores: Scores, truth: Truth) -> float:
    """Area under the stepwise precision-recall curve of one label, as scikit-learn defines it.

    Args:
        scores: score of the label for each image: float32 [images].
        truth: whether each image has the label: bool [images].

    Returns:
        A fraction in [0, 1]; NaN where no image has the label.

    Examples:
        >>> average_precision(np.float32([0.9, 0.8, 0.1]), np.array([True, False, True]))
        0.83...
    """
    _, correct, predicted = _counts_by_threshold(scores, truth)
    if not correct[-1]:
        return nan
    return float(np.sum(np.diff(correct, prepend=0) / correct[-1] * correct / predicted))


def mean_average_precision(scores: Scores, truth: Truth) -> float:
    """Mean average precision of the labels that at least one image has (mAP).

    Args:
        scores: float32 [images, labels].
        truth: bool [images, labels].

    Returns:
        A fraction in [0, 1]; NaN where no image has a label.
    """
    occurring = np.flatnonzero(truth.any(axis=0))
    return mean_defined(average_precision(scores[:, label], truth[:, label]) for label in occurring)


def macro_f1(predicted: Truth, truth: Truth) -> float:
    """Mean F1 of the labels that are predicted for or present in at least one image.

    Args:
        predicted: bool [images, labels].
        truth: bool [images, labels].

    Returns:
        A fraction in [0, 1]; NaN where no image has a label.
    """
    metrics = class_metrics((predicted & truth).sum(axis=0), truth.sum(axis=0), predicted.sum(axis=0))
    return mean_defined(metrics.f1) if truth.any() else nan


def best_threshold(scores: Scores, truth: Truth) -> tuple[float, float]:
    """Threshold with the highest F1 of one label, among its scores.

    Args:
        scores: float32 [images].
        truth: bool [images].

    Returns:
        The lowest score at which to predict the label, and the F1 at this threshold in [0, 1]; infinity and NaN where
        no image has the label.

    Examples:
        >>> best_threshold(np.float32([0.75, 0.5, 0.25]), np.array([True, True, False]))
        (0.5, 1.0)
    """
    thresholds, correct, predicted = _counts_by_threshold(scores, truth)
    if not correct[-1]:
        return inf, nan
    f1 = 2 * correct / (predicted + correct[-1])
    best = int(np.argmax(f1))
    return float(thresholds[best]), float(f1[best])


def _counts_by_threshold(scores: Scores, truth: Truth) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """The distinct scores in descending order, with the correct and all predictions at each as the threshold."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # equal scores pass a threshold together
    return ordered[last], np.cumsum(truth[order])[last], last + 1
