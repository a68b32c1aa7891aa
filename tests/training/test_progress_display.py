"""What one sees of a run."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.training import progress_display
from levit.training.progress_display import Display, duration

ROW = {
    "epoch": 3, "train_loss": 1.23456, "loss": 1.5, "top1": 62.345, "ema_top1": 63.0, "ema_loss": 1.4, "lr": 5e-4,
    "images_per_second": 1234.5, "seconds": 125.0,
}  # fmt: skip


@pytest.fixture
def display():
    with Display(epochs=30, steps=10, shows=True) as shown:
        yield shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_an_epoch_is_one_line(display, capsys):
    display.epoch(ROW, "top1", is_best=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "epoch 3/30: loss 1.2346, validation 1.5000, top1 62.34 %, average 63.00 %, lr 5.00e-04, 1,234 images/s, "
        "2 min 5 s  best\n"
    )


def test_without_an_average_nothing_is_said_of_it(display, capsys):
    display.epoch({name: value for name, value in ROW.items() if "ema" not in name}, "top1", is_best=False)
    err = capsys.readouterr().err
    assert "average" not in err
    assert "best" not in err


def test_a_loss_is_no_share(display, capsys):
    display.epoch(ROW, "loss", is_best=False)
    err = capsys.readouterr().err
    assert "loss 1.5000, average 1.4000, lr" in err
    assert "%" not in err


def test_steps_are_silent_where_there_is_no_terminal(display, capsys):
    display.begin(0)
    display.step(0, 1, loss=1.0, top1=50.0, lr=0.1, rate=100.0)
    assert capsys.readouterr() == ("", "")


def test_what_is_said_is_one_line_on_standard_error(display, capsys):
    display.say("[red]cat[/red].png: 100 % broken")
    assert capsys.readouterr() == ("", "[red]cat[/red].png: 100 % broken\n")


def test_another_process_says_nothing(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Display(epochs=1, steps=1, shows=False) as display:
        display.say("hello")
        display.step(0, 1, loss=1.0, top1=50.0, lr=0.1, rate=100.0)
        display.epoch(ROW, "top1", is_best=True)
    assert sys.stderr.getvalue() == ""


def test_the_time_left_is_told_by_what_was_done_since_the_run_went_on(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: now[0])
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Display(epochs=2, steps=100, shows=True) as display:
        now[0] = 50.0
        display.begin(90)
        now[0] = 60.0
        display.step(1, 10, loss=1.0, top1=50.0, lr=0.1, rate=1.0)  # 20 steps in 10 s, and 90 to come
        display.say("")
    assert "45 s left" in sys.stderr.getvalue()


def test_a_terminal_shows_the_step_and_keeps_what_is_said(monkeypatch):
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Display(epochs=2, steps=10, shows=True) as display:
        display.begin(5)
        display.step(0, 6, loss=1.25, top1=50.0, lr=0.1, rate=1234.0)
        display.say("[red]cat[/red].png: broken")
        display.step(0, 7, loss=1.0, top1=51.0, lr=0.1, rate=1200.0)
    text = terminal.getvalue()
    for part in ("[red]cat[/red].png: broken", "1/2", "loss 1.000", "right 51.0 %", "1,200 images/s", "left"):
        assert part in text


def test_a_terminal_says_that_an_epoch_is_being_judged(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Display(epochs=2, steps=10, shows=True) as display:
        display.step(0, 10, loss=1.0, top1=50.0, lr=0.1, rate=100.0)
        display.judge(0)
    assert "validation" in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (3599.4, "59 min 59 s"), (3599.6, "1 h 0 min"), (90_000, "25 h 0 min")],
)  # fmt: skip
def test_a_duration_is_short(seconds, text):
    assert duration(seconds) == text


@given(st.floats(0, 10**7))
def test_a_duration_is_never_longer_than_it_is(seconds):
    sizes = {"s": 1, "min": 60, "h": 3600}
    words = duration(seconds).split()
    found = sum(int(number) * sizes[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(found - seconds) <= (0.5 if seconds < 3599 else 60)
