"""The progress bar on a pseudo-terminal."""

import io
import json
import os
import subprocess
import sys

import pytest

from levit.cli import progress_bar
from levit.cli.progress_bar import track
from levit.logs import set_quiet

pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")


HIDDEN_CURSOR, SHOWN_CURSOR = "\x1b[?25l", "\x1b[?25h"
CLEARED = "\x1b[1A\x1b[2K"  # up a line, and erase it


class Terminal:
    """Pseudo-terminal that records what is written to it."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self.stream = os.fdopen(self.slave, "w", encoding="utf-8")

    def read(self) -> str:
        """Return what was written since the last call."""
        self.stream.flush()
        self.stream.write("\0")  # ends the loop below even if no other text was written
        self.stream.flush()
        content = b""
        while b"\0" not in content:
            content += os.read(self._master, 65536)
        return content.replace(b"\0", b"").decode(errors="replace")

    def close(self) -> None:
        self.stream.close()
        os.close(self._master)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def show(terminal, monkeypatch):
    """Function that makes standard error a terminal, and standard output a buffer.

    It is called inside the test, because pytest replaces the streams before that.
    """

    def show() -> Terminal:
        monkeypatch.setattr(sys, "stderr", terminal.stream)
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        return terminal

    return show


def test_the_bar_is_cleared_at_the_end(show):
    terminal = show()
    items = track(range(3), "photos", delay=0)
    next(items)
    assert "photos" in terminal.read()
    assert list(items) == [1, 2]
    assert terminal.read().endswith(CLEARED)


class Clock:
    """A clock that is set by hand."""

    seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_bar, "time", clock)
    return clock


def test_the_bar_is_shown_after_the_delay(show, clock):
    terminal = show()
    items = track(range(4), "photos", delay=2.0)
    for seconds, is_shown in ((1000.0, False), (1001.9, False), (1002.0, True)):
        clock.seconds = seconds
        next(items)
        assert ("photos" in terminal.read()) is is_shown
    items.close()


def test_the_bar_counts(show):
    terminal = show()
    items = track(range(3), "photos", delay=0)
    for _ in range(3):
        next(items)
    items.close()  # draws the last state
    assert "2/" in terminal.read()


def test_output_during_the_bar_goes_to_standard_output(show):
    terminal = show()
    for item in track(range(3), "photos", delay=0):
        print("label", item)
    assert sys.stdout.getvalue() == "label 0\nlabel 1\nlabel 2\n"
    assert "label" not in terminal.read()


@pytest.mark.parametrize("is_printed", [False, True])
def test_no_bar_is_shown_if_items_are_printed_on_the_terminal(show, monkeypatch, is_printed):
    terminal = show()
    monkeypatch.setattr(sys, "stdout", terminal.stream)
    assert list(track(range(3), "photos", is_printed=is_printed, delay=0)) == [0, 1, 2]
    assert (HIDDEN_CURSOR in terminal.read()) is not is_printed


def test_no_bar_is_shown_for_fast_work(show, clock):
    terminal = show()
    assert list(track(range(1000), "photos")) == list(range(1000))
    assert terminal.read() == ""


def test_the_bar_is_cleared_when_the_iteration_is_stopped(show):
    terminal = show()
    items = track(iter(range(10)), "photos", delay=0)
    next(items)
    next(items)
    assert HIDDEN_CURSOR in terminal.read()
    items.close()
    last = terminal.read()
    assert SHOWN_CURSOR in last
    assert last.endswith(CLEARED)


def test_no_bar_is_shown_if_standard_error_is_not_a_terminal(capsys):
    assert list(track(range(3), "photos", delay=0)) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_items_are_yielded_one_by_one(show):
    show()
    taken: list[int] = []
    items = track((taken.append(item) or item for item in range(5)), "photos", delay=0)
    next(items)
    assert taken == [0]


def test_predict_shows_its_bar_on_the_terminal_and_writes_labels_to_standard_output(terminal, model, photos):
    program = """
from functools import partial
from levit.cli import main, progress_bar
progress_bar.track = partial(progress_bar.track, delay=0)
main()
"""
    command = [sys.executable, "-c", program, "predict", ".", "--json", "--model", str(model)]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal.slave, timeout=60, check=False)
    assert process.returncode == 0
    assert [json.loads(line)["file"] for line in process.stdout.splitlines()] == [
        "./a.png",
        "./b.jpg",
        "./deep/er/c.png",
    ]
    assert "images" in terminal.read()


def test_no_bar_is_shown_for_a_quiet_command(show):
    terminal = show()
    set_quiet(True)
    try:
        assert list(track(range(3), "images", delay=0)) == [0, 1, 2]
    finally:
        set_quiet(False)
    assert terminal.read() == ""
