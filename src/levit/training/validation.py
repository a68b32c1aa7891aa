"""How good the network is at present, on the images that the best epoch is chosen by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf, isnan, nan

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from levit.errors import DataError
from levit.evaluation.multi_label import average_precision
from levit.training.data_loader import Batch
from levit.training.losses import Loss
from levit.training.student import read_logits

Metrics = dict[str, float]

# Whether more is better.
METRICS = {"top1": True, "top5": True, "f1": True, "map": True, "loss": False}


@torch.no_grad()
def validate(
    networks: Sequence[nn.Module],
    batches: Iterable[Batch],
    loss: Loss,
    accelerator: Accelerator,
    *,
    classes: int,
    is_multi_label: bool,
    told: Callable[[Batch], None] = lambda batch: None,
) -> list[Metrics]:
    """Judge networks in evaluation mode, all by the same batches; every process its share of the images.

    Args:
        networks: which give logits.
        batches: those of this process.
        loss: without a teacher.
        accelerator: adds up what the processes count.
        classes: how many there are.
        is_multi_label: whether images have several labels: then `map` and `f1` at a score of a half are computed.
        told: of every batch, for the names of those that could not be read.

    Returns:
        For each network `loss`, and `top1`, `top5` and `f1` (the mean over classes that are there or answered), or
        `map` and `f1`, in per cent.

    Raises:
        DataError: no image could be judged.
    """
    answers: list[list[Tensor]] = [[] for _ in networks]
    targets: list[Tensor] = []
    totals = [0.0] * len(networks)
    for network in networks:
        network.eval()
    for batch in batches:
        told(batch)
        if not len(batch.targets):
            continue
        pixels = batch.pixel_values.to(accelerator.device, non_blocking=True)
        wanted = batch.targets.to(accelerator.device, non_blocking=True)
        targets.append(wanted if is_multi_label else wanted.argmax(dim=1))
        for place, network in enumerate(networks):
            with accelerator.autocast():
                logits = read_logits(network(pixels)).logits.float()
            totals[place] += float(loss.of_labels(wanted, logits)) * len(wanted)
            answers[place].append(logits if is_multi_label else logits.topk(min(5, logits.shape[1])).indices)
    *totals, everybody = add_up([*totals, float(sum(map(len, targets)))], accelerator)
    if not everybody:
        raise DataError("none of the images to choose by can be read: mend them, and go on by --resume")
    of_labels = _several if is_multi_label else _single
    return [
        {"loss": total / everybody} | of_labels(found, targets, classes, accelerator)
        for total, found in zip(totals, answers, strict=True)
    ]


def add_up(values: list[float], accelerator: Accelerator) -> list[float]:
    """The sums over all processes."""
    if accelerator.num_processes == 1:
        return values
    sums: Tensor = accelerator.reduce(torch.tensor(values, dtype=torch.float64, device=accelerator.device))
    return sums.tolist()


def rank(row: Metrics, metric: str, prefix: str = "") -> tuple[float, float]:
    """What epochs are compared by, more is better: the metric, and the loss where that is the same.

    Args:
        row: metrics of an epoch.
        metric: which of them counts.
        prefix: of their names.

    Examples:
        >>> rank({"top1": 90.0, "loss": 0.5}, "top1") > rank({"top1": 90.0, "loss": 0.6}, "top1")
        True
        >>> rank({"top1": nan, "loss": 0.5}, "top1")
        (-inf, -0.5)
    """
    value, loss = row[prefix + metric], row[prefix + "loss"]
    return (-inf if isnan(value) else value if METRICS[metric] else -value, -inf if isnan(loss) else -loss)


def _single(answers: list[Tensor], targets: list[Tensor], classes: int, accelerator: Accelerator) -> Metrics:
    counts = torch.zeros(4, classes, dtype=torch.int64, device=accelerator.device)  # right, support, answers, in top 5
    for best, truth in zip(answers, targets, strict=True):
        hits = best == truth[:, None]
        for row, chosen in enumerate((truth[hits[:, 0]], truth, best[:, 0], truth[hits.any(dim=1)])):
            counts[row] += torch.bincount(chosen, minlength=classes)
    right, support, answered, top5 = accelerator.reduce(counts).cpu().numpy().astype(np.float64)
    present = support + answered > 0  # a class that no image has and that is answered counts 0, as in scikit-learn
    return {
        "top1": 100 * float(right.sum() / support.sum()),
        "top5": 100 * float(top5.sum() / support.sum()),
        "f1": 100 * float(np.mean((2 * right / np.maximum(1, support + answered))[present])),
    }


def _several(answers: list[Tensor], targets: list[Tensor], classes: int, accelerator: Accelerator) -> Metrics:
    logits, wanted = (_gathered(parts, classes, accelerator) for parts in (answers, targets))
    judged = wanted[:, 0] >= 0  # a process with fewer images was padded
    scores, truth = logits[judged].sigmoid().cpu().numpy(), wanted[judged].cpu().numpy() > 0.5
    present = truth.any(axis=0)
    precisions = [average_precision(scores[:, label], truth[:, label]) for label in np.flatnonzero(present)]
    found = scores >= 0.5
    counted = found.sum(axis=0) + truth.sum(axis=0)
    f1 = 2 * (found & truth).sum(axis=0) / np.maximum(1, counted)
    return {
        "map": 100 * float(np.mean(precisions)) if precisions else nan,
        "f1": 100 * float(np.mean(f1[counted > 0])) if present.any() else nan,
    }


def _gathered(parts: list[Tensor], classes: int, accelerator: Accelerator) -> Tensor:
    mine = torch.cat([torch.zeros(0, classes, device=accelerator.device), *parts])
    whole: Tensor = accelerator.gather(accelerator.pad_across_processes(mine, pad_index=-1))
    return whole
