"""Progress of a run: its position, the metrics of its epochs, the best epoch, and early stopping."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isnan
from typing import Literal

Metrics = dict[str, float]
"""Metrics by name; accuracies and rates are fractions in [0, 1]."""

HIGHER_IS_BETTER = {"top1": True, "top5": True, "f1": True, "map": True, "loss": False}
EMA_PREFIX = "ema_"  # of the metrics of the moving average of the weights

BestWeights = Literal["network", "average"]


@dataclass(kw_only=True)
class Progress:
    """Progress of a run; the rest of the run is a function of it, the weights, the options and the fingerprint.

    Attributes:
        epoch: number of completed epochs.
        step: number of completed steps of the current epoch.
        totals: sums over the training images of the current epoch: loss, correct predictions, images.
        history: metrics of each completed epoch, as in `results.csv`.
        best: best value of the metric: a fraction in [0, 1], or a loss; None before it was measured.
        best_epoch: the epoch of that value, from 1; 0 before it was measured.
        is_out_of_patience: whether the last `patience` epochs were not better than the best one.
    """

    epoch: int = 0
    step: int = 0
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    history: list[Metrics] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    is_out_of_patience: bool = False

    def add(self, totals: list[float]) -> None:
        """Add loss, correct predictions and images of a microbatch, each summed over its images."""
        self.totals = [old + new for old, new in zip(self.totals, totals, strict=True)]

    @property
    def train_loss(self) -> float:
        """Mean training loss of the current epoch."""
        return self.totals[0] / max(1.0, self.totals[2])

    @property
    def train_top1(self) -> float:
        """Top-1 accuracy on the augmented training images of the current epoch, in [0, 1]."""
        return self.totals[1] / max(1.0, self.totals[2])

    def finish_epoch(self, row: Metrics, *, metric: str, patience: int) -> BestWeights | None:
        """Complete the current epoch.

        Args:
            row: its metrics.
            metric: name of the metric that selects the best epoch.
            patience: number of epochs without a better one after which the run stops; 0 is no limit.

        Returns:
            The weights that are better than all before: of the network or of their average; None if neither is.
        """
        prefixes = ("", EMA_PREFIX) if EMA_PREFIX + metric in row else ("",)
        previous = [ranking_key(old, metric, prefix) for old in self.history for prefix in prefixes]
        prefix = max(prefixes, key=lambda prefix: ranking_key(row, metric, prefix))
        is_best = ranking_key(row, metric, prefix) > max(previous, default=(-inf, 0.0))
        is_best = is_best and not isnan(row[prefix + metric])
        self.epoch, self.step, self.totals = self.epoch + 1, 0, [0.0, 0.0, 0.0]
        self.history = [*self.history, row]
        if is_best:
            self.best, self.best_epoch = row[prefix + metric], self.epoch
        self.is_out_of_patience = bool(patience) and self.epoch - self.best_epoch >= patience
        if not is_best:
            return None
        return "average" if prefix else "network"


def ranking_key(row: Metrics, metric: str, prefix: str = "") -> tuple[float, float]:
    """Sort key of epochs, higher is better: the metric, and for equal values the negative loss.

    Args:
        row: metrics of an epoch.
        metric: name of the metric that counts.
        prefix: prefix of the names of metrics.

    Examples:
        >>> ranking_key({"top1": 0.9, "loss": 0.5}, "top1") > ranking_key({"top1": 0.9, "loss": 0.6}, "top1")
        True
        >>> ranking_key({"top1": float("nan"), "loss": 0.5}, "top1")
        (-inf, -0.5)
    """
    value, loss = row[prefix + metric], row[prefix + "loss"]
    return (-inf if isnan(value) else value if HIGHER_IS_BETTER[metric] else -value, -inf if isnan(loss) else -loss)
