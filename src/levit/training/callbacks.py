"""Callbacks of the training loop."""

# ruff: noqa: D102  # the methods of CallbackList are documented in Callback

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from levit.errors import ConfigError
from levit.training.data_loader import Batch
from levit.training.progress import Progress


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """Result of one step.

    Attributes:
        epoch: number of the epoch, from 1, as in `results.csv`.
        step: number of completed steps of the epoch, this one included: from 1.
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
    """Base class of callbacks, whose methods `levit.train` calls during a run; each does nothing until overridden.

    - Order: first those of this package (the display, `results.csv` with the curves, the model card, and TensorBoard or
      Weights & Biases), then those of the argument `callbacks` in its order.
    - Exceptions: an exception ends the run. The remaining methods of that moment are not called, `on_exit` of every
      callback is, and `levit.train` raises the exception unchanged. The last saved state stays, and `resume` continues
      from it. To save and stop at once instead, call `signal.raise_signal(signal.SIGINT)`, as Ctrl-C does.
    - Several processes: each has callbacks of its own, which are called at the same points. The first one,
      `accelerate.PartialState().is_main_process`, should be the only one that writes files. An exception in one process
      ends that process, and torchrun then ends the others. `on_batch`, `on_step` and `on_validation_start` of one
      process may take ten minutes, for which the others wait; a process that a signal stops in validation waits as long
      for the others to finish their batch, and the run then ends with an error. The other methods may take any time.
    - Resuming: a resumed run, perhaps in another process, calls the methods from its position on. What has to last is
      in `progress.history`, and not in the callback.

    The arguments are to be read only. A callback may draw from global random generators: a run seeds them in each step,
    and ends with the same weights.

    Examples:
        >>> import levit
        >>> class PrintGoal(levit.Callback):
        ...     def on_epoch_end(self, progress, *, is_best):
        ...         if progress.history[-1]["top1"] >= 0.95:
        ...             print(f"95 % after epoch {progress.epoch}")
        >>> PrintGoal().on_epoch_end(Progress(epoch=4, history=[{"top1": 0.96}]), is_best=True)
        95 % after epoch 4
    """

    def on_train_start(self, progress: Progress) -> None:
        """Called before the first step of a run, or of a resumed run."""

    def on_batch(self, batch: Batch, *, is_training: bool) -> None:
        """Called after a training or validation batch was loaded; the training ones run ahead of the steps."""

    def on_step(self, report: StepReport) -> None:
        """Called after a step, that is an update of the weights."""

    def on_validation_start(self, progress: Progress) -> None:
        """Called after the last step of an epoch."""

    def on_checkpoint(self, progress: Progress) -> None:
        """Called after a state was saved or loaded: the files in the run directory are those of this progress."""

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        """Called after an epoch was validated, and saved unless `save_epochs` leaves it out.

        Args:
            progress: the metrics of the epoch are the last item of `progress.history`, by the names of the columns of
                `results.csv`; accuracies are fractions in [0, 1].
            is_best: whether it is the best epoch up to now, whose weights the run directory has from the next saved
                state on.
        """

    def on_train_end(self, progress: Progress) -> None:
        """Called after the last epoch, or after a signal stopped the run and it was saved."""

    def on_exit(self) -> None:
        """Called at the end of a run, also after an error and of every callback, whatever the others raise."""


def check_callbacks(callbacks: object) -> None:
    """Check the argument `callbacks` of `levit.train`.

    Raises:
        ConfigError: it is not a list of callbacks.
    """
    hint = "give a list of objects of subclasses of levit.Callback"
    if not isinstance(callbacks, Sequence):
        raise ConfigError(f"is {callbacks!r}, which is not a list", source="callbacks", hint=hint)
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ConfigError(f"contains {callback!r}, which is not a callback", source="callbacks", hint=hint)


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
        with ExitStack() as stack:  # calls all, whatever one raises; the last one that was added comes first
            for callback in reversed(self._callbacks):
                stack.callback(callback.on_exit)
