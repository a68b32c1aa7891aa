"""Microbatches of the training steps: on the device, mixed, and with the logits of a teacher."""

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
from levit.training.teacher_cache import CachedTeacher
from levit.training.teacher_process import TeacherProcess

_MIN_SCORE = torch.finfo(torch.float32).tiny  # of the logarithm
_LOGIT_MARGIN = 1e-6  # distance of a score of one of several labels from 0 and from 1


class Microbatch(NamedTuple):
    """Images that one process computes at once.

    Attributes:
        pixel_values: float32 [B, 3, height, width], normalized and mixed, on the device.
        targets: float32 [B, classes], or with outliers [B, classes + 1]: the share of each class, or 1 for each label
            of an image; in the last column the share of outliers.
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

    A teacher usually sees mixed images. One whose logits are kept sees the images before they are mixed, and its scores
    are mixed like their labels.

    Attributes:
        mixup: timm's mixup and CutMix, of labels and scores where logits are kept; None without them.
        teacher: teacher that computes ahead, or whose logits are kept; None where the step computes it, or there is
            none.
        device: device of the training.
        seed: seed of the run; random numbers of mixup depend on it, the epoch and the step.
        accumulate: number of microbatches of a step.
        is_multi_label: whether the scores of a teacher whose logits are kept are independent.
    """

    mixup: Mixup | None
    teacher: TeacherProcess | CachedTeacher | None
    device: torch.device
    seed: int
    accumulate: int
    is_multi_label: bool = False

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
            following = self._submit(batch, *position)
            if self.teacher is None:
                yield following.microbatch
                continue
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

    def _submit(self, batch: Batch, epoch: int, step: int) -> _Pending:
        """Move a batch to the device, mix its images, and start the teacher on what it sees."""
        pixels = batch.pixel_values.to(self.device, non_blocking=True, memory_format=torch.channels_last)
        pending = _Pending(
            Microbatch(pixels, batch.targets.to(self.device, non_blocking=True)), batch.samples, epoch, step
        )
        if isinstance(self.teacher, CachedTeacher):
            self.teacher.submit(batch.samples, pixels)
            return pending
        pixels, targets = self._mix(pending, pending.microbatch.targets)
        if self.teacher is not None:
            self.teacher.submit(pixels)
        return pending._replace(microbatch=Microbatch(pixels, targets))

    def _finish(self, pending: _Pending) -> Microbatch:
        """Wait for the logits of the teacher."""
        microbatch = pending.microbatch
        if isinstance(self.teacher, CachedTeacher):
            logits = self.teacher.collect(pending.samples).to(self.device, non_blocking=True)
            scores = logits.sigmoid() if self.is_multi_label else logits.softmax(dim=1)
            both = torch.cat([microbatch.targets, scores], dim=1)
            pixels, mixed = self._mix(pending, both)
            targets, scores = mixed.split([microbatch.targets.shape[1], scores.shape[1]], dim=1)
            mixed_logits = scores.logit(_LOGIT_MARGIN) if self.is_multi_label else scores.clamp_min(_MIN_SCORE).log()
            is_mixed = (mixed != both).any(dim=1, keepdim=True)  # other logits are exact, however small their scores
            return Microbatch(pixels, targets, torch.where(is_mixed, mixed_logits, logits))
        assert self.teacher is not None  # noqa: S101
        logits = self.teacher.collect(len(microbatch.pixel_values))
        return microbatch._replace(teacher_logits=logits.to(self.device, non_blocking=True))

    def _mix(self, pending: _Pending, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Mix the images of a microbatch and their targets, float32 [B, any]."""
        pixels = pending.microbatch.pixel_values
        if self.mixup is None:
            return pixels, targets
        # The same for every process and microbatch: a step has one mixing coefficient.
        np.random.seed(derive_seed(self.seed, "mix", pending.epoch, pending.step) % 2**32)
        mixed: tuple[Tensor, Tensor] = self.mixup(pixels, targets)
        return mixed


class _Pending(NamedTuple):
    """Microbatch without the logits of the teacher, its samples, int64 [B, 2], and its position in the run."""

    microbatch: Microbatch
    samples: Tensor
    epoch: int
    step: int
