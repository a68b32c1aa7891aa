"""One step of training: forward and backward passes over the microbatches of a process, and the update."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from timm.data import Mixup
from torch import Tensor, nn

from levit.training.data_loader import Batch
from levit.training.determinism import derive_seed, seed_generators
from levit.training.losses import Loss
from levit.training.microbatch_results import MicrobatchResult
from levit.training.model_state import ModelState
from levit.training.optimizer import clip_gradients
from levit.training.options import OptimizerOptions
from levit.training.student import read_logits


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """One step of training.

    Attributes:
        model: network, optimizer, schedule and average, which the step changes.
        accelerator: device, precision and processes.
        loss: the loss function.
        teacher: frozen network whose logits the loss compares with; None without distillation.
        mixup: timm's mixup and CutMix; None without them.
        options: number of microbatches, and gradient clipping.
        seed: seed of the run. Random numbers depend on it, the epoch, step, microbatch and process; those of mixup on
            the seed, epoch and step.
    """

    model: ModelState
    accelerator: Accelerator
    loss: Loss
    teacher: nn.Module | None
    mixup: Mixup | None
    options: OptimizerOptions
    seed: int

    def __call__(
        self, batches: Iterator[Batch], *, epoch: int, step: int, steps_per_epoch: int
    ) -> list[MicrobatchResult]:
        """Take one step; its results stay on the device, so that the host does not wait for them.

        Args:
            batches: at least `accumulate` microbatches.
            epoch: number of the epoch, from 0.
            step: number of the step in the epoch, from 0.
            steps_per_epoch: number of steps in an epoch.
        """
        model, accelerator, count = self.model, self.accelerator, self.options.accumulate
        model.schedule.step_update(epoch * steps_per_epoch + step)
        model.optimizer.zero_grad(set_to_none=True)
        results = []
        for index in range(count):
            batch = next(batches)
            # After loading, because images that are loaded in this process seed the same generators.
            seed_generators(self.seed, "step", epoch, step, index, accelerator.process_index)
            is_last = index + 1 == count
            with nullcontext() if is_last else accelerator.no_sync(model.prepared):
                loss, correct = self._forward(batch, epoch, step)
                accelerator.backward(loss / count)
            name = f"step {step + 1} of epoch {epoch + 1}"
            results.append(MicrobatchResult(name, loss.detach(), correct, len(batch.targets)))
        accelerator.unscale_gradients(model.optimizer)
        clip_gradients(model.network, self.options.clip)
        model.optimizer.step()
        if model.average is not None:
            model.average.update(model.network)
        return results

    def _forward(self, batch: Batch, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Mean loss and number of correct predictions."""
        device = self.accelerator.device
        pixels = batch.pixel_values.to(device, non_blocking=True, memory_format=torch.channels_last)
        targets = batch.targets.to(device, non_blocking=True)
        if self.mixup is not None:
            # The same for every process and microbatch: a step has one mixing coefficient.
            np.random.seed(derive_seed(self.seed, "mix", epoch, step) % 2**32)
            pixels, targets = self.mixup(pixels, targets)
        with self.accelerator.autocast():
            teacher_logits = self.teacher(pixels) if self.teacher is not None else None
            logits = read_logits(self.model.prepared(pixels))
        loss = self.loss(logits, targets, teacher_logits)
        predicted = targets.gather(1, logits.logits.detach().argmax(dim=1, keepdim=True))
        return loss, ((predicted > 0) & (predicted >= targets.amax(dim=1, keepdim=True))).sum()
