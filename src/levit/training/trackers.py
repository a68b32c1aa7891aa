"""Experiment trackers: TensorBoard and Weights & Biases, by accelerate."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from levit.files import write_text
from levit.training.callbacks import Callback
from levit.training.options import TrainingOptions
from levit.training.progress import Progress

RUN_ID_FILE = ".wandb-id"  # in the run directory


class Tracker(Callback):
    """Logs the metrics of every epoch to the experiment tracker of `report_to`.

    Weights & Biases continues the run of a resumed run, whose number is in the run directory.

    Args:
        accelerator: accelerator that was built for this tracker; its first process logs.
        options: options of the run, which Weights & Biases records.
    """

    def __init__(self, accelerator: Accelerator, options: TrainingOptions) -> None:
        self._accelerator, self._options = accelerator, options

    def on_train_start(self, progress: Progress) -> None:
        """Open the tracker, and log the last epoch of a resumed run again: it may have been saved and not logged."""
        self._open(progress)
        if progress.history:
            self._log(progress)

    def _open(self, progress: Progress) -> None:
        if self._options.run.report_to == "tensorboard":  # it writes into a folder of that name
            # The last saved epoch, and those that an interrupted process logged after it, are logged again.
            settings = {"tensorboard": {"purge_step": max(1, progress.epoch)}}
            self._accelerator.init_trackers("tensorboard", init_kwargs=settings)  # the options are in args.yaml
            return
        config = {
            name: value
            for name, value in self._options.to_flat().items()
            if isinstance(value, bool | int | float | str)
        }
        settings = {"wandb": self._wandb_settings() if self._accelerator.is_main_process else {}}
        self._accelerator.init_trackers("levit", config, init_kwargs=settings)

    def _wandb_settings(self) -> dict[str, Any]:
        """Name, folder and number of the run for Weights & Biases."""
        run = Path(self._options.run.out)
        number = ""
        with suppress(OSError, UnicodeDecodeError):
            number = (run / RUN_ID_FILE).read_text(encoding="ascii").strip()
        if not number:
            number = secrets.token_hex(8)
            write_text(run / RUN_ID_FILE, number)
        return {"name": run.resolve().name, "dir": str(run), "id": number, "resume": "allow"}

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        """Log the metrics of the epoch."""
        self._log(progress)

    def _log(self, progress: Progress) -> None:
        metrics = {name: value for name, value in progress.history[-1].items() if name != "epoch"}
        self._accelerator.log(metrics, step=progress.epoch)

    def on_train_end(self, progress: Progress) -> None:
        """Close the tracker."""
        for tracker in self._accelerator.trackers:
            tracker.finish()
