"""Experiment trackers: TensorBoard and Weights & Biases, by accelerate."""

from __future__ import annotations

from accelerate import Accelerator

from levit.training.callbacks import Callback
from levit.training.options import TrainingOptions
from levit.training.progress import Progress


class Tracker(Callback):
    """Logs the metrics of every epoch to the experiment tracker of `report_to`.

    Args:
        accelerator: accelerator that was built for this tracker; its first process logs.
        options: options of the run, which Weights & Biases records.
    """

    def __init__(self, accelerator: Accelerator, options: TrainingOptions) -> None:
        self._accelerator, self._options = accelerator, options

    def on_train_start(self, progress: Progress) -> None:
        """Open the tracker."""
        if self._options.run.report_to == "tensorboard":  # it writes into a folder of that name
            # Epochs that an interrupted process logged after its last checkpoint are logged again.
            settings = {"tensorboard": {"purge_step": progress.epoch + 1}}
            self._accelerator.init_trackers("tensorboard", init_kwargs=settings)  # the options are in args.yaml
            return
        config = {
            name: value
            for name, value in self._options.to_flat().items()
            if isinstance(value, bool | int | float | str)
        }
        self._accelerator.init_trackers("levit", config)

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        """Log the metrics of the epoch."""
        metrics = {name: value for name, value in progress.history[-1].items() if name != "epoch"}
        self._accelerator.log(metrics, step=progress.epoch)

    def on_train_end(self, progress: Progress) -> None:
        """Close the tracker."""
        for tracker in self._accelerator.trackers:
            tracker.finish()
