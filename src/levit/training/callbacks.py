"""Callbacks of the training loop."""

from __future__ import annotations

from dataclasses import dataclass

from levit.training.data_loader import Batch
from levit.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """Result of one step.

    Attributes:
        epoch: number of the epoch, from 0.
        step: number of completed steps of the epoch.
        loss: mean loss of this process in the step.
        train_top1: top-1 accuracy on the training images of the epoch so far, in [0, 1].
        lr: the highest learning rate of the parameter groups.
        images_per_second: training speed in this epoch, over all processes.
    """

    epoch: int
    step: int
    loss: float
    train_top1: float
    lr: float
    images_per_second: float


class Callback:
    """Hooks that the training loop calls on every process; each does nothing unless it is overridden."""

    def on_train_start(self, progress: Progress) -> None:
        """Before the first step of a run, or of its continuation."""

    def on_batch(self, batch: Batch, *, is_training: bool) -> None:
        """After a batch of training or validation images was loaded."""

    def on_step(self, report: StepReport) -> None:
        """After a step."""

    def on_validation_start(self, progress: Progress) -> None:
        """After the last step of an epoch."""

    def on_checkpoint(self, progress: Progress) -> None:
        """After a state was saved, or loaded."""

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        """After an epoch was validated and saved; its metrics are the last item of `progress.history`."""

    def on_train_end(self, progress: Progress) -> None:
        """After the last epoch, or after a signal stopped the run and it was saved."""

    def on_exit(self) -> None:
        """At the end of a run, also after an error."""
