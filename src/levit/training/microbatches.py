"""Microbatches of the training steps: on the device, mixed, and with the logits of a teacher process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from timm.data import Mixup
from torch import Tensor

from levit.training.data_loader import Batch
from levit.training.determinism import derive_seed
from levit.training.teacher_process import TeacherProcess


class Microbatch(NamedTuple):
    """Images that one process computes at once.

    Attributes:
        pixel_values: float32 [B, 3, height, width], normalized and mixed, on the device.
        targets: float32 [B, classes]: the share of each class, or 1 for each label of an image.
        teacher_logits: float32 [B, classes]; None where the step computes them, or there is no teacher.
    """

    pixel_values: Tensor
    targets: Tensor
    teacher_logits: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class MicrobatchPreparation:
    """Conversion of loaded batches to microbatches, in order.

    A teacher process and a student on the CPU take turns, because the threads of both on the same cores would disturb
    each other; while the teacher computes, the next batch is loaded. On another device the teacher works one microbatch
    ahead.

    Attributes:
        mixup: timm's mixup and CutMix; None without them.
        teacher: process that computes the teachers; None where the step computes them, or there is none.
        device: device of the training.
        seed: seed of the run; random numbers of mixup depend on it, the epoch and the step.
        accumulate: number of microbatches of a step.
    """

    mixup: Mixup | None
    teacher: TeacherProcess | None
    device: torch.device
    seed: int
    accumulate: int

    def __call__(
        self, batches: Iterator[Batch], *, epoch: int, step: int, steps_per_epoch: int
    ) -> Iterator[Microbatch]:
        """Convert batches.

        Args:
            batches: loaded batches up to the end of training.
            epoch: number of the epoch of the first batch, from 0.
            step: number of the step of the first batch in its epoch, from 0.
            steps_per_epoch: number of steps in an epoch.
        """
        first = epoch * steps_per_epoch + step
        positions = (divmod(first + number // self.accumulate, steps_per_epoch) for number in count())
        pending = None
        for batch, position in zip(batches, positions, strict=False):
            if pending is not None and self._takes_turns:
                yield self._finish(pending)
            following = self._prepare(batch, *position)
            if self.teacher is None:
                yield following
                continue
            self.teacher.submit(following.pixel_values)
            if pending is not None and not self._takes_turns:
                yield self._finish(pending)
            pending = following
        if pending is not None:
            yield self._finish(pending)

    @property
    def _takes_turns(self) -> bool:
        """Whether the teacher computes while a batch is loaded, and not while the student computes."""
        return self.device.type == "cpu"

    def close(self) -> None:
        """End the teacher process."""
        if self.teacher is not None:
            self.teacher.close()

    def _finish(self, pending: Microbatch) -> Microbatch:
        """Wait for the logits of the teacher."""
        assert self.teacher is not None  # noqa: S101
        logits = self.teacher.collect(len(pending.pixel_values))
        return pending._replace(teacher_logits=logits.to(self.device, non_blocking=True))

    def _prepare(self, batch: Batch, epoch: int, step: int) -> Microbatch:
        """Move a batch to the device and mix its images."""
        pixels = batch.pixel_values.to(self.device, non_blocking=True, memory_format=torch.channels_last)
        targets = batch.targets.to(self.device, non_blocking=True)
        if self.mixup is not None:
            # The same for every process and microbatch: a step has one mixing coefficient.
            np.random.seed(derive_seed(self.seed, "mix", epoch, step) % 2**32)
            pixels, targets = self.mixup(pixels, targets)
        return Microbatch(pixels, targets)
