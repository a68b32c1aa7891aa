"""Results of microbatches, which stay on the device until many of them are read at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from levit.training.collectives import all_reduce_rows
from levit.training.failures import NonFiniteError


class MicrobatchResult(NamedTuple):
    """Result of one microbatch of a process.

    Attributes:
        step: number of the step, for errors, such as "step 3 of epoch 1".
        loss: mean loss over its images, a scalar on the device.
        correct: number of images whose predicted class has the largest target (after mixing, the larger share), a
            scalar on the device.
        images: number of images.
    """

    step: str
    loss: Tensor
    correct: Tensor
    images: int


def read_results(results: Sequence[MicrobatchResult], accelerator: Accelerator) -> list[list[float]]:
    """Read results from the device and sum each over all processes, with one transfer and one all-reduce.

    Args:
        results: as many on every process, at least one.
        accelerator: device and processes.

    Returns:
        For each microbatch loss, correct predictions and images, each summed over the images of all processes.

    Raises:
        NonFiniteError: a loss is infinite or NaN on any process; all processes raise it.
    """
    values = torch.stack([torch.stack([item.loss.float(), item.correct.float()]) for item in results]).tolist()
    rows = [
        [loss * item.images, correct, float(item.images)] for item, (loss, correct) in zip(results, values, strict=True)
    ]
    rows = all_reduce_rows(rows, accelerator)
    for item, (loss, _, images) in zip(results, rows, strict=True):
        if not isfinite(loss):
            raise NonFiniteError(loss / images, item.step)
    return rows
