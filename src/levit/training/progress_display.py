"""What one sees of a run: a line that moves on a terminal, and one for each epoch everywhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from levit.training.validation import Metrics


class Display:
    """Loss, accuracy, learning rate, images a second and the time left, on standard error.

    Args:
        epochs: of the whole run.
        steps: in an epoch.
        shows: whether this process shows anything.
    """

    def __init__(self, *, epochs: int, steps: int, shows: bool) -> None:
        self._epochs, self._steps, self._shows = epochs, steps, shows
        self._bar: Any = None
        self._task: Any = None
        self._started, self._begun_at = time.monotonic(), 0

    def __enter__(self) -> Display:
        if self._shows and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("{task.fields[state]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
            self._task = self._bar.add_task("", total=self._steps, epoch="", state="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, done: int) -> None:
        """The time left is told by what is done from here on.

        Args:
            done: steps of the whole run that were done before.
        """
        self._started, self._begun_at = time.monotonic(), done

    def step(self, epoch: int, step: int, *, loss: float, top1: float, lr: float, rate: float) -> None:
        """One step is done."""
        if self._bar is not None:
            done = epoch * self._steps + step
            left = (time.monotonic() - self._started) / max(1, done - self._begun_at)
            left *= self._epochs * self._steps - done
            state = f"loss {loss:.3f}  right {top1:.1f} %  lr {lr:.1e}  {rate:,.0f} images/s  {duration(left)} left"
            self._bar.update(self._task, completed=step, epoch=f"{epoch + 1}/{self._epochs}", state=state)

    def judge(self, epoch: int) -> None:
        """The steps of an epoch are done, and what came of them is being judged."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._steps, epoch=f"{epoch + 1}/{self._epochs}", state="validation")

    def epoch(self, row: Metrics, metric: str, *, is_best: bool) -> None:
        """One epoch is done."""
        form = "{:.4f}" if metric == "loss" else "{:.2f} %"
        value = f"{metric} {form.format(row[metric])}"
        average = f", average {form.format(row[f'ema_{metric}'])}" if f"ema_{metric}" in row else ""
        self.say(
            f"epoch {int(row['epoch'])}/{self._epochs}: loss {row['train_loss']:.4f}, validation {row['loss']:.4f}, "
            f"{value}{average}, lr {row['lr']:.2e}, {row['images_per_second']:,.0f} images/s, "
            f"{duration(row['seconds'])}{'  best' if is_best else ''}"
        )

    def say(self, text: str, *, by_all: bool = False) -> None:
        """One line; by the first process, or by every one that has something to say."""
        if not self._shows and not by_all:
            return
        if self._bar is not None:
            self._bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            tell(text)


def tell(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as short as they are clear.

    Examples:
        >>> duration(5), duration(125), duration(7260)
        ('5 s', '2 min 5 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
