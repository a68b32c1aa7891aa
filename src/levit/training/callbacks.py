"""Callbacks of the training loop."""

# ruff: noqa: D102  # the methods of CallbackList are documented in Callback

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from levit.training.data_loader import Batch
from levit.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """Result of one step.

    Attributes:
        epoch: number of the epoch, from 0.
        step: number of completed steps of the epoch.
        loss: mean training loss over all processes of the steps that were read last: on a CPU those of every step; on
            a GPU, or with several processes, those of every 50 steps, because reading them waits for the device.
        train_top1: top-1 accuracy on the training images of the epoch up to these steps, in [0, 1].
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
        """Called before the first step of a run, or of a resumed run."""

    def on_batch(self, batch: Batch, *, is_training: bool) -> None:
        """Called after a training or validation batch was loaded."""

    def on_step(self, report: StepReport) -> None:
        """Called after a step."""

    def on_validation_start(self, progress: Progress) -> None:
        """Called after the last step of an epoch."""

    def on_checkpoint(self, progress: Progress) -> None:
        """Called after a state was saved or loaded."""

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        """Called after an epoch was validated and saved; its metrics are the last item of `progress.history`."""

    def on_train_end(self, progress: Progress) -> None:
        """Called after the last epoch, or after a signal stopped the run and it was saved."""

    def on_exit(self) -> None:
        """Called at the end of a run, also after an error."""


class CallbackList(Callback):
    """Callbacks that are called in order.

    Args:
        callbacks: the callbacks.
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = tuple(callbacks)

    def on_train_start(self, progress: Progress) -> None:
        for callback in self._callbacks:
            callback.on_train_start(progress)

    def on_batch(self, batch: Batch, *, is_training: bool) -> None:
        for callback in self._callbacks:
            callback.on_batch(batch, is_training=is_training)

    def on_step(self, report: StepReport) -> None:
        for callback in self._callbacks:
            callback.on_step(report)

    def on_validation_start(self, progress: Progress) -> None:
        for callback in self._callbacks:
            callback.on_validation_start(progress)

    def on_checkpoint(self, progress: Progress) -> None:
        for callback in self._callbacks:
            callback.on_checkpoint(progress)

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        for callback in self._callbacks:
            callback.on_epoch_end(progress, is_best=is_best)

    def on_train_end(self, progress: Progress) -> None:
        for callback in self._callbacks:
            callback.on_train_end(progress)

    def on_exit(self) -> None:
        for callback in self._callbacks:
            callback.on_exit()
