"""Progress on standard error."""

import io
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from levit.errors import ImageError
from levit.training.callbacks import StepReport
from levit.training.data_loader import Batch
from levit.training.progress import Progress
from levit.training.progress_display import ProgressDisplay, format_duration

ROW = {
    "epoch": 3, "train_loss": 1.23456, "loss": 1.5, "top1": 0.62345, "ema_top1": 0.63, "ema_loss": 1.4, "lr": 5e-4,
    "images_per_second": 1234.5, "seconds": 125.0,
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def open_terminal(monkeypatch):
    """Function that makes standard error a terminal of 150 columns; pytest replaces what a fixture itself would set."""
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")

    def open_terminal():
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        return terminal

    return open_terminal


def build(**values):
    settings = {"epochs": 30, "steps_per_epoch": 10, "metric": "top1", "is_main_process": True}
    return ProgressDisplay("a tiny network", **{**settings, **values})


def report(epoch, step, **values):
    measured = {"loss": 1.0, "train_top1": 0.5, "lr": 0.1, "images_per_second": 100.0}
    return StepReport(epoch=epoch, step=step, **{**measured, **values})


def unreadable(name, reason="not an image"):
    return Batch(torch.zeros(0), torch.zeros(0, 3), [ImageError(reason, source=name)])


def after_epochs(count, row=ROW, **values):
    return Progress(epoch=count, history=[row] * count, **values)


@pytest.mark.parametrize(
    ("progress", "position"),
    [
        (Progress(), ""),
        (Progress(epoch=1, step=4), "; resumes epoch 2 after 4 steps"),
        (Progress(epoch=30), "; was complete after epoch 30"),
        (Progress(epoch=7, is_out_of_patience=True), "; was complete after epoch 7"),
    ],
)
def test_a_run_starts_with_its_description_and_position(capsys, progress, position):
    build().on_train_start(progress)
    assert capsys.readouterr() == ("", f"a tiny network{position}\n")


def test_an_epoch_is_one_line(capsys):
    build().on_epoch_end(after_epochs(3), is_best=True)
    assert capsys.readouterr() == (
        "",
        "epoch 3/30: loss 1.2346, validation 1.5000, top1 62.34 %, average 63.00 %, lr 5.00e-04, 1,234 images/s, "
        "2 min 5 s  best\n",
    )


def test_the_line_of_an_epoch_without_an_average_has_none(capsys):
    row = {name: value for name, value in ROW.items() if "ema" not in name}
    build().on_epoch_end(after_epochs(3, row), is_best=False)
    line = capsys.readouterr().err
    assert "average" not in line
    assert "best" not in line


def test_a_loss_is_not_in_per_cent(capsys):
    build(metric="loss").on_epoch_end(after_epochs(3), is_best=False)
    line = capsys.readouterr().err
    assert "loss 1.5000, average 1.4000, lr" in line
    assert "%" not in line


def test_early_stopping_is_reported(capsys):
    build().on_train_end(after_epochs(5, best_epoch=3, is_out_of_patience=True))
    assert capsys.readouterr().err == "stopped early: no better epoch among the last 2\n"
    build(epochs=5).on_train_end(after_epochs(5, best_epoch=3, is_out_of_patience=True))
    build().on_train_end(after_epochs(5))
    assert capsys.readouterr().err == ""


def test_an_unreadable_image_is_reported_once(capsys):
    display = build(is_main_process=False)
    display.on_batch(unreadable("[red]cat[/red].png"), is_training=True)
    display.on_batch(unreadable("[red]cat[/red].png"), is_training=False)
    display.on_batch(unreadable("dog.png", "truncated"), is_training=False)
    assert capsys.readouterr().err.splitlines() == [
        "[red]cat[/red].png: not an image; replaced by the next image",
        "dog.png: truncated; left out",
    ]


def test_without_a_terminal_steps_are_printed_once_a_minute(capsys):
    now = [0.0]
    display = build(epochs=2, steps_per_epoch=100, clock=lambda: now[0])
    display.on_train_start(Progress())
    capsys.readouterr()
    for step in range(1, 14):
        now[0] += 10.0
        display.on_step(report(1, step))
    display.on_validation_start(Progress())
    display.on_exit()
    assert capsys.readouterr().err.splitlines() == [
        f"epoch 1/2, step {step}/100: loss 1.000  top1 50.0 %  lr 1.0e-01  100 images/s  {remaining} left"
        for step, remaining in ((6, "32 min 20 s"), (12, "31 min 20 s"))
    ]


def test_other_processes_show_unreadable_images_only(open_terminal):
    terminal = open_terminal()
    now = [0.0]
    display = build(is_main_process=False, clock=lambda: now[0])
    display.on_train_start(Progress())
    now[0] = 1000.0
    display.on_step(report(1, 1))
    display.on_epoch_end(after_epochs(1), is_best=True)
    display.on_train_end(after_epochs(5, is_out_of_patience=True))
    display.on_exit()
    assert terminal.getvalue() == ""


def test_the_remaining_time_follows_from_the_steps_since_the_run_was_resumed(open_terminal):
    terminal = open_terminal()
    now = [0.0]
    display = build(epochs=2, steps_per_epoch=100, clock=lambda: now[0])
    now[0] = 50.0
    display.on_train_start(Progress(step=90))
    now[0] = 60.0
    display.on_step(report(2, 10))  # 20 steps in 10 s, and 90 remain
    display.on_batch(unreadable("cat.png"), is_training=True)  # draws the bar
    display.on_exit()
    assert "45 s left" in terminal.getvalue()


def test_a_terminal_shows_the_step_below_the_lines(open_terminal):
    terminal = open_terminal()
    display = build(epochs=2)
    display.on_train_start(Progress(step=5))
    display.on_step(report(1, 6, loss=1.25, images_per_second=1234.0))
    display.on_batch(unreadable("[red]cat[/red].png"), is_training=True)
    display.on_step(report(1, 7, train_top1=0.51, images_per_second=1200.0))
    display.on_exit()
    text = terminal.getvalue()
    for part in ("[red]cat[/red].png: not an image", "1/2", "loss 1.000", "top1 51.0 %", "1,200 images/s", "left"):
        assert part in text


def test_a_terminal_shows_that_an_epoch_is_validated(open_terminal):
    terminal = open_terminal()
    display = build(epochs=2)
    display.on_train_start(Progress())
    display.on_step(report(1, 10))
    display.on_validation_start(Progress(step=10))
    display.on_exit()
    assert "validation" in terminal.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"), (90_000, "25 h 0 min")],
)
def test_a_duration_has_its_two_largest_units(seconds, text):
    assert format_duration(seconds) == text


@given(st.floats(0, 10**7))
def test_a_duration_is_rounded_to_its_smallest_shown_unit(seconds):
    sizes = {"s": 1, "min": 60, "h": 3600}
    words = format_duration(seconds).split()
    shown = sum(int(number) * sizes[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(shown - seconds) <= (0.5 if seconds < 3599 else 60)
