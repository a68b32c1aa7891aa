"""Progress on standard error: a line for each epoch, and for the current one a bar, or a line each minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from levit.errors import printable
from levit.logs import get_logger, is_quiet
from levit.training.callbacks import Callback, StepReport
from levit.training.data_loader import Batch
from levit.training.progress import EMA_PREFIX, Progress

_LINE_SECONDS = 60.0  # between two lines about steps, where there is no bar


class ProgressDisplay(Callback):
    """Loss, accuracy, learning rate, images per second and remaining time.

    Args:
        description: one line about the run.
        epochs: number of epochs, cool-down included.
        steps_per_epoch: number of steps in an epoch.
        metric: name of the metric that selects the best epoch.
        is_main_process: other processes only report unreadable images.
        marks_best: whether the best epochs are marked.
        clock: function that returns the time in seconds.
    """

    def __init__(
        self,
        description: str,
        *,
        epochs: int,
        steps_per_epoch: int,
        metric: str,
        is_main_process: bool,
        marks_best: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._description, self._metric = description, metric
        self._epochs, self._steps = epochs, steps_per_epoch
        self._is_main_process, self._marks_best, self._clock = is_main_process, marks_best, clock
        self._bar: Any = None
        self._task: Any = None
        self._start, self._first_step = clock(), 0
        self._printed_at = self._start
        self._unreadable: set[str] = set()

    def on_train_start(self, progress: Progress) -> None:
        """Print the description and the position of the run, and show the bar."""
        position = f"; resumes epoch {progress.epoch + 1} after {progress.step} steps"
        if progress.is_complete(self._epochs):
            position = f"; was complete after epoch {progress.epoch}"
        is_resumed = progress.epoch or progress.step
        self._print(self._description + (position if is_resumed else ""))
        self._start, self._first_step = self._clock(), progress.epoch * self._steps + progress.step
        self._printed_at = self._start
        if self._is_main_process and sys.stderr.isatty() and not is_quiet():
            self._show_bar()

    def on_exit(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_batch(self, batch: Batch, *, is_training: bool) -> None:
        """Report each unreadable image once."""
        for error in batch.errors:
            name = str(error.source)
            if name not in self._unreadable:
                self._unreadable.add(name)
                action = "replaced by the next image" if is_training else "left out"
                self._print(f"{error}; {action}", on_every_process=True)

    def on_step(self, report: StepReport) -> None:
        """Update the bar; without a terminal, print a line each minute."""
        now = self._clock()
        if self._bar is None and now - self._printed_at < _LINE_SECONDS:
            return
        done = (report.epoch - 1) * self._steps + report.step
        seconds_per_step = (now - self._start) / max(1, done - self._first_step)
        remaining = format_duration(seconds_per_step * (self._epochs * self._steps - done))
        state = (
            f"loss {report.loss:.3f}  top1 {100 * report.train_top1:.1f} %  lr {report.lr:.1e}  "
            f"{report.images_per_second:,.0f} images/s  {remaining} left"
        )
        if self._bar is not None:
            self._update(report.epoch - 1, report.step, state)
        else:
            self._print(f"epoch {report.epoch}/{self._epochs}, step {report.step:,}/{self._steps:,}: {state}")
            self._printed_at = now

    def on_validation_start(self, progress: Progress) -> None:
        """Show the validation in the bar."""
        if self._bar is not None:
            self._update(progress.epoch, self._steps, "validation")

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        """Print the metrics of the epoch."""
        row, metric = progress.history[-1], self._metric
        mark = "  best" if is_best and self._marks_best else ""
        average = f", average {self._format(row[EMA_PREFIX + metric])}" if EMA_PREFIX + metric in row else ""
        self._print(
            f"epoch {progress.epoch}/{self._epochs}: loss {row['train_loss']:.4f}, validation {row['loss']:.4f}, "
            f"{metric} {self._format(row[metric])}{average}, lr {row['lr']:.2e}, "
            f"{row['images_per_second']:,.0f} images/s, {format_duration(row['seconds'])}{mark}"
        )

    def on_train_end(self, progress: Progress) -> None:
        """Print that the run stopped early."""
        if progress.is_out_of_patience and progress.epoch < self._epochs:
            epochs = progress.epoch - progress.best_epoch
            self._print(f"stopped early: no better epoch among the last {epochs}")

    def _show_bar(self) -> None:
        from rich import progress
        from rich.console import Console

        epoch, state = progress.TextColumn("epoch {task.fields[epoch]}"), progress.TextColumn("{task.fields[state]}")
        console = Console(stderr=True)
        self._bar = progress.Progress(
            epoch, progress.BarColumn(), state, console=console, transient=True, redirect_stdout=False
        )
        self._task = self._bar.add_task("", total=self._steps, epoch="", state="")
        self._bar.start()

    def _print(self, text: str, *, on_every_process: bool = False) -> None:
        """Print a line, above the bar if there is one."""
        if not (self._is_main_process or on_every_process):
            return
        if self._bar is not None:
            self._bar.console.print(printable(text), highlight=False, markup=False, soft_wrap=True)
        else:
            print_line(text)

    def _update(self, epoch: int, step: int, state: str) -> None:
        self._bar.update(self._task, completed=step, epoch=f"{epoch + 1}/{self._epochs}", state=state)

    def _format(self, value: float) -> str:
        return f"{value:.4f}" if self._metric == "loss" else f"{100 * value:.2f} %"


def print_line(text: str) -> None:
    """Print a line on standard error, by the logger `levit.training`."""
    get_logger("levit.training").info("%s", printable(text))


def format_duration(seconds: float) -> str:
    """Format a duration by its one or two largest units.

    Examples:
        >>> format_duration(5), format_duration(125), format_duration(7260)
        ('5 s', '2 min 5 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, remainder = divmod(whole, 60)
    return f"{minutes} min {remainder} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
