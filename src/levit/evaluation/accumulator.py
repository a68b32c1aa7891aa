"""Metric accumulator: counts per class that are updated batch by batch and can be summed over processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from levit.evaluation.metrics import ClassMetrics, Counts, class_metrics

TOP_K = 5


class MetricAccumulator:
    """Counts of single-label predictions, from which top-1 and top-5 accuracy and F1 follow.

    The counts are integers, so their sum over batches and processes does not depend on the order. To combine
    processes, replace `counts` by its sum over them before reading a metric.

    Args:
        num_classes: number of classes of the model.

    Attributes:
        counts: int64 [4, classes]; its rows are, for each class, the number of images of the class whose prediction is
            correct, the number with the class among the five most probable, the number of images of the class
            (support), and the number of images that are predicted as the class.

    Examples:
        >>> metrics = MetricAccumulator(num_classes=3)
        >>> logits = np.float32([[3, 2, 1], [3, 1, 2]])
        >>> targets = metrics.update(top_classes(logits), np.array([0, 2]))
        >>> metrics.top1, metrics.top5
        (0.5, 1.0)
    """

    def __init__(self, num_classes: int) -> None:
        self.counts: Counts = np.zeros((4, num_classes), np.int64)

    def update(self, predictions: NDArray[np.integer], targets: NDArray[np.integer]) -> Counts:
        """Count a batch of images.

        Args:
            predictions: indices of the most probable classes, the most probable first, as `top_classes` returns them:
                integers [images, k] with k up to 5.
            targets: index of the class of each image: integers [images]; or [images, labels] where any of several
                labels is correct, padded with -1 at the end.

        Returns:
            The class under which each image is counted, int64 [images]. Of several labels, this is the predicted label
            if it is among them, otherwise the first label.
        """
        labels = np.atleast_2d(targets.T).T.astype(np.int64)
        hits = (predictions[:, :, None] == labels[:, None, :]).any(axis=2)
        counted = np.where(hits[:, 0], predictions[:, 0], labels[:, 0]).astype(np.int64)
        rows = (counted[hits[:, 0]], counted[hits.any(axis=1)], counted, predictions[:, 0])
        for row, classes in zip(self.counts, rows, strict=True):
            row += np.bincount(classes, minlength=len(row))
        return counted

    @property
    def num_images(self) -> int:
        """Number of images that were counted."""
        return int(self.counts[2].sum())

    @property
    def num_correct(self) -> int:
        """Number of images whose most probable class is correct."""
        return int(self.counts[0].sum())

    @property
    def num_top5_correct(self) -> int:
        """Number of images with a correct class among the five most probable."""
        return int(self.counts[1].sum())

    @property
    def top1(self) -> float:
        """Top-1 accuracy in [0, 1]; NaN without images."""
        return self.num_correct / self.num_images if self.num_images else float("nan")

    @property
    def top5(self) -> float:
        """Top-5 accuracy in [0, 1]; NaN without images."""
        return self.num_top5_correct / self.num_images if self.num_images else float("nan")

    @property
    def macro_f1(self) -> float:
        """Mean F1 in [0, 1] of the classes with images or predictions, as in scikit-learn; NaN without images."""
        metrics = self.class_metrics()
        occurring = metrics.occurring(range(self.counts.shape[1]))
        return float(metrics.f1[occurring].mean()) if occurring else float("nan")

    def class_metrics(self) -> ClassMetrics:
        """Precision, recall and F1 of each class."""
        correct, _, support, predicted = self.counts
        return class_metrics(correct, support, predicted)


def top_classes(logits: NDArray[np.float32], k: int = TOP_K) -> Counts:
    """Indices of the classes with the highest logits, the highest first; of equal logits the lower index first.

    Args:
        logits: float32 [images, classes].
        k: number of classes; fewer where the model has fewer.

    Returns:
        int64 [images, min(k, classes)].

    Examples:
        >>> top_classes(np.float32([[1, 3, 3]]), k=2)
        array([[1, 2]])
    """
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]
