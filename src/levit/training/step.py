"""One step of training: forward and backward passes over the microbatches of a process, and the update."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from accelerate import Accelerator
from torch import Tensor, nn

from levit.model.head_autoencoder import HeadAutoencoder
from levit.training.determinism import seed_generators
from levit.training.head_autoencoders import RECONSTRUCTION_WEIGHT
from levit.training.losses import Loss
from levit.training.microbatch_results import MicrobatchResult
from levit.training.microbatches import Microbatch
from levit.training.model_state import ModelState
from levit.training.optimizer import clip_gradients
from levit.training.option_groups import OptimizerOptions
from levit.training.student import read_logits


@dataclass(frozen=True, kw_only=True)
class TrainingStep:
    """One step of training.

    Attributes:
        model: network, optimizer, schedule and average, which the step changes.
        accelerator: device, precision and processes.
        loss: the loss function.
        teacher: frozen network whose logits the loss compares with; None without distillation, and where microbatches
            contain the logits.
        options: number of microbatches, and gradient clipping.
        autoencoders: auto-encoders over heads in the network, whose reconstruction losses are added to the loss.
        seed: seed of the run. Random numbers depend on it, the epoch, step, microbatch and process.
    """

    model: ModelState
    accelerator: Accelerator
    loss: Loss
    teacher: nn.Module | None
    options: OptimizerOptions
    seed: int
    autoencoders: Sequence[HeadAutoencoder] = ()

    def __call__(
        self, batches: Iterator[Microbatch], *, epoch: int, step: int, steps_per_epoch: int
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
                loss, correct = self._forward(batch)
                accelerator.backward(loss / count)
            name = f"step {step + 1} of epoch {epoch + 1}"
            results.append(MicrobatchResult(name, loss.detach(), correct, len(batch.targets)))
        accelerator.unscale_gradients(model.optimizer)
        clip_gradients(model.network, self.options.clip)
        model.optimizer.step()
        if model.average is not None:
            number = epoch * steps_per_epoch + step if model.average.use_warmup else None
            model.average.update(model.network, step=number)
        return results

    def _forward(self, batch: Microbatch) -> tuple[Tensor, Tensor]:
        """Mean loss and number of correct predictions."""
        pixels, targets, teacher_logits = batch
        with self.accelerator.autocast():
            if self.teacher is not None:
                teacher_logits = self.teacher(pixels)
            logits = read_logits(self.model.prepared(pixels))
        loss = self.loss(logits, targets, teacher_logits)
        for autoencoder in self.autoencoders:
            if autoencoder.reconstruction_loss is not None:
                loss = loss + RECONSTRUCTION_WEIGHT * autoencoder.reconstruction_loss
        classes = logits.logits.detach().argmax(dim=1, keepdim=True)
        predicted = targets.gather(1, classes)
        is_correct = (predicted > 0) & (predicted >= targets.amax(dim=1, keepdim=True))
        if self.loss.has_unlabeled and teacher_logits is not None:  # the teacher's class replaces an absent label
            is_unlabeled = targets.sum(dim=1, keepdim=True) == 0
            is_correct |= is_unlabeled & (classes == teacher_logits.argmax(dim=1, keepdim=True))
        return loss, is_correct.sum()
