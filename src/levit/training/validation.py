"""Validation during training: metrics of networks on the validation set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional

from levit.errors import DataError
from levit.evaluation.accumulator import TOP_K, MetricAccumulator
from levit.evaluation.precision_recall import macro_f1, mean_average_precision
from levit.training.collectives import all_reduce_counts, all_reduce_sums, gather_rows
from levit.training.data_loader import Batch
from levit.training.progress import Metrics
from levit.training.student import read_logits


@dataclass(frozen=True, kw_only=True)
class Validator:
    """Metrics on the validation set, of which each process has a share.

    Attributes:
        batches: validation batches of this process, which can be iterated over repeatedly.
        accelerator: device, precision and processes.
        num_classes: number of classes.
        is_multi_label: whether an image may have any number of labels.
    """

    batches: Iterable[Batch]
    accelerator: Accelerator
    num_classes: int
    is_multi_label: bool

    @torch.no_grad()
    def validate(
        self, networks: Sequence[nn.Module], on_batch: Callable[[Batch], None] = lambda batch: None
    ) -> list[Metrics]:
        """Evaluate networks, which are set to evaluation mode, on the same batches.

        Args:
            networks: networks that map images to logits.
            on_batch: function that is called before each batch is evaluated.

        Returns:
            For each network `loss`, the mean cross-entropy in nats without label smoothing, class weights and teacher
            (of several labels the mean binary cross-entropy); and, as fractions in [0, 1], `top1`, `top5` and `f1`
            (macro-averaged over the classes that occur or are predicted), with several labels `map` (mean average
            precision) and `f1`, of labels with a score of at least 0.5.

        Raises:
            DataError: no validation image can be read.
        """
        kind = _MultiLabelMetrics if self.is_multi_label else _SingleLabelMetrics
        metrics = [kind(self.num_classes) for _ in networks]
        losses: list[list[Tensor]] = [[] for _ in networks]
        counts: list[int] = []
        for network in networks:
            network.eval()
        for batch in self.batches:
            on_batch(batch)
            if not len(batch.targets):  # all of its images are unreadable
                continue
            pixels = batch.pixel_values.to(self.accelerator.device, non_blocking=True)
            targets = batch.targets.to(self.accelerator.device, non_blocking=True)
            counts.append(len(targets))
            for network, batch_losses, computed in zip(networks, losses, metrics, strict=True):
                with self.accelerator.autocast():
                    logits = read_logits(network(pixels)).logits.float()
                batch_losses.append(self._cross_entropy(logits, targets))
                computed.update(logits, targets)
        sums = [_weighted_sum(batch_losses, counts) for batch_losses in losses]
        *sums, total = all_reduce_sums([*sums, float(sum(counts))], self.accelerator)
        if not total:
            hint = "repair them, and continue with `resume`"
            raise DataError("no validation image can be read", hint=hint)
        return [
            {"loss": loss / total} | computed.compute(self.accelerator)
            for loss, computed in zip(sums, metrics, strict=True)
        ]

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch, a scalar on the device."""
        if self.is_multi_label:
            return functional.binary_cross_entropy_with_logits(logits, targets)
        return functional.cross_entropy(logits, targets)


def _weighted_sum(losses: Sequence[Tensor], counts: Sequence[int]) -> float:
    """Sum of the losses of all images, in float64, from the means of batches; read from the device at once."""
    values = torch.stack(list(losses)).tolist() if losses else []
    return float(sum(loss * count for loss, count in zip(values, counts, strict=True)))


class _SingleLabelMetrics:
    """Top-1 and top-5 accuracy and macro F1, from the predicted classes, which stay on the device up to the end."""

    def __init__(self, num_classes: int) -> None:
        self._counts = MetricAccumulator(num_classes)
        self._predictions: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Keep the predictions of a batch: logits and one-hot targets [B, classes]."""
        self._predictions.append(logits.topk(min(TOP_K, logits.shape[1])).indices)
        self._targets.append(targets.argmax(dim=1))

    def compute(self, accelerator: Accelerator) -> Metrics:
        """Metrics over all processes."""
        if self._targets:
            predictions, targets = (torch.cat(rows).cpu().numpy() for rows in (self._predictions, self._targets))
            self._counts.update(predictions, targets)
        self._counts.counts = all_reduce_counts(self._counts.counts, accelerator)
        return {"top1": self._counts.top1, "top5": self._counts.top5, "f1": self._counts.macro_f1}


class _MultiLabelMetrics:
    """Mean average precision and macro F1, from the logits of all images."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Keep a batch: logits and targets [B, labels]."""
        self._logits.append(logits)
        self._targets.append(targets)

    def compute(self, accelerator: Accelerator) -> Metrics:
        """Metrics over all processes."""
        logits, targets = (gather_rows(rows, self._num_classes, accelerator) for rows in (self._logits, self._targets))
        is_image = targets[:, 0] >= 0  # padding has targets of -1
        scores, truth = logits[is_image].sigmoid().cpu().numpy(), targets[is_image].cpu().numpy() > 0.5
        return {"map": mean_average_precision(scores, truth), "f1": macro_f1(np.asarray(scores >= 0.5), truth)}
