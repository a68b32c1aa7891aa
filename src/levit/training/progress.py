"""Progress of a run: its position, the metrics of its epochs, the best epoch, and early stopping."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum, inf, isnan
from typing import Literal

Metrics = dict[str, float]
"""Metrics by name; accuracies and rates are fractions in [0, 1]."""

HIGHER_IS_BETTER = {"top1": True, "top5": True, "f1": True, "map": True, "loss": False}
EMA_PREFIX = "ema_"  # of the metrics of the moving average of the weights

DEFAULT_WINDOW = 3  # epochs whose mean metric ranks an epoch, with a moving average

BestWeights = Literal["network", "average"]


@dataclass(kw_only=True)
class Progress:
    """Progress of a training run: position, metrics per epoch and best epoch.

    The rest of the run is a function of it, the weights, the options and the fingerprint.

    Attributes:
        epoch: number of completed epochs.
        step: number of completed steps of the current epoch.
        totals: sums over the training images of the current epoch: loss, correct predictions, images.
        seconds: duration of the completed steps of the current epoch, with those before an interruption.
        history: metrics of each completed epoch, as in `results.csv`.
        best: value of the metric in the best epoch: a fraction in [0, 1], or a loss; None before it was measured.
        best_epoch: the best epoch, from 1; 0 before the metric was measured.
        best_weights: the weights that were best in that epoch: of the network or of their moving average; None before
            the metric was measured.
        is_out_of_patience: whether the last `patience` epochs were not better than the best one.
    """

    epoch: int = 0
    step: int = 0
    totals: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    seconds: float = 0.0
    history: list[Metrics] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = 0
    best_weights: BestWeights | None = None
    is_out_of_patience: bool = False

    def is_complete(self, epochs: int) -> bool:
        """Whether a run of this number of epochs, cool-down included, ends here: at its last epoch, or early."""
        return self.epoch >= epochs or self.is_out_of_patience

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

    def finish_epoch(
        self, row: Metrics, *, metric: str, patience: int, window: int | None = None, select: str = "best"
    ) -> BestWeights | None:
        """Complete the current epoch.

        Epochs are ranked by the mean of the metric over a window of epochs. The accuracy of a moving average changes
        little from one epoch to the next, so that the highest of many values is mostly luck. The weights of the network
        itself do change, so that without an average the metric of a single epoch counts.

        Args:
            row: its metrics.
            metric: name of the metric that selects the best epoch.
            patience: number of epochs without a better one after which the run stops; 0 is no limit.
            window: number of epochs that end with an epoch and rank it; None is 3 with a moving average, otherwise 1.
            select: "best", or "last", which takes each epoch for better than those before, and the average, if there is
                one, for better than the network.

        Returns:
            The weights that are better than all before: of the network or of their average; None if neither is.
        """
        prefixes = ("", EMA_PREFIX) if EMA_PREFIX + metric in row else ("",)
        window = window or (DEFAULT_WINDOW if len(prefixes) > 1 else 1)
        self.epoch, self.step, self.totals, self.seconds = self.epoch + 1, 0, [0.0, 0.0, 0.0], 0.0
        self.history = [*self.history, row]
        previous = [
            ranking_key(self.history[:epoch][-window:], metric, prefix)
            for epoch in range(1, self.epoch)
            for prefix in prefixes
        ]
        keys = {prefix: ranking_key(self.history[-window:], metric, prefix) for prefix in prefixes}
        prefix = max(prefixes, key=lambda prefix: keys[prefix])
        is_best = keys[prefix][0] > -inf and keys[prefix] > max(previous, default=(-inf, 0.0))
        if select == "last":
            prefix, is_best = prefixes[-1], True
        if is_best:
            self.best, self.best_epoch = row[prefix + metric], self.epoch
            self.best_weights = "average" if prefix else "network"
        self.is_out_of_patience = bool(patience) and self.epoch - self.best_epoch >= patience
        return self.best_weights if is_best else None


def ranking_key(rows: Sequence[Metrics], metric: str, prefix: str = "") -> tuple[float, float]:
    """Sort key of epochs, higher is better: the mean metric, and for equal values the negative mean loss.

    Args:
        rows: metrics of the epochs of a window.
        metric: name of the metric that counts.
        prefix: prefix of the names of metrics.

    Examples:
        >>> ranking_key([{"top1": 0.9, "loss": 0.5}], "top1") > ranking_key([{"top1": 0.9, "loss": 0.6}], "top1")
        True
        >>> ranking_key([{"top1": 0.9, "loss": 0.5}, {"top1": float("nan"), "loss": 0.5}], "top1")
        (-inf, -0.5)
    """
    value, loss = (fsum(row[prefix + name] for row in rows) / len(rows) for name in (metric, "loss"))
    return (-inf if isnan(value) else value if HIGHER_IS_BETTER[metric] else -value, -inf if isnan(loss) else -loss)
