import io
import json
import os
import subprocess
import sys
import time

import pytest

import levit.cli.progress_bar
from levit.cli.progress_bar import track

pty = pytest.importorskip("pty", reason="needs a pseudo-terminal")


HIDDEN_CURSOR, SHOWN_CURSOR = "\x1b[?25l", "\x1b[?25h"
GONE = "\x1b[1A\x1b[2K"  # up a line, and erase it


class Terminal:
    """A pseudo-terminal, and what was written to it."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        self.stream = os.fdopen(self.slave, "w", encoding="utf-8")

    def read(self) -> str:
        """What was written since the last time."""
        self.stream.flush()
        self.stream.write("\0")  # so that there is something to read; the bar may write behind it
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
def watch(terminal, monkeypatch):
    """To call inside a test, where pytest has taken the streams: standard error is a terminal, standard output not."""

    def watch(*, patience: float) -> Terminal:
        monkeypatch.setattr(levit.cli.progress_bar, "PATIENCE", patience)
        monkeypatch.setattr(sys, "stderr", terminal.stream)
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        return terminal

    return watch


def test_a_bar_is_shown_for_what_takes_longer_and_cleared_at_the_end(watch):
    terminal, shown = watch(patience=0.1), []
    for _ in track(range(5), "photos"):
        time.sleep(0.06)
        shown.append(terminal.read())
    assert shown[0] == ""
    assert "photos" in "".join(shown)
    assert terminal.read().endswith(GONE)


def test_the_bar_counts(watch):
    terminal = watch(patience=0)
    items = track(range(3), "photos")
    for _ in range(3):
        next(items)
    shown, patience = "", time.monotonic() + 10
    while "2/" not in shown and time.monotonic() < patience:  # the bar is drawn ten times a second
        time.sleep(0.05)
        shown += terminal.read()
    assert "2/" in shown
    assert next(items, None) is None


def test_what_is_printed_beside_the_bar_goes_where_it_was_sent(watch):
    terminal = watch(patience=0)
    for item in track(range(3), "photos"):
        print("answer", item)
    assert sys.stdout.getvalue() == "answer 0\nanswer 1\nanswer 2\n"
    assert "answer" not in terminal.read()


@pytest.mark.parametrize("is_printed", [False, True])
def test_on_a_terminal_what_is_printed_is_progress_enough(watch, monkeypatch, is_printed):
    terminal = watch(patience=0)
    monkeypatch.setattr(sys, "stdout", terminal.stream)
    assert list(track(range(3), "photos", is_printed=is_printed)) == [0, 1, 2]
    assert (HIDDEN_CURSOR in terminal.read()) is not is_printed


def test_no_bar_is_shown_for_what_is_quick(watch):
    terminal = watch(patience=levit.cli.progress_bar.PATIENCE)
    assert list(track(range(1000), "photos")) == list(range(1000))
    assert terminal.read() == ""


def test_leaving_early_takes_the_bar_away(watch):
    terminal = watch(patience=0)
    items = track(iter(range(10)), "photos")
    next(items)
    next(items)
    assert HIDDEN_CURSOR in terminal.read()
    items.close()
    rest = terminal.read()
    assert SHOWN_CURSOR in rest
    assert rest.endswith(GONE)


def test_no_bar_is_shown_where_standard_error_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(levit.cli.progress_bar, "PATIENCE", 0)
    assert list(track(range(3), "photos")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_items_are_passed_on_as_they_come(watch):
    watch(patience=0)
    taken: list[int] = []
    items = track((taken.append(item) or item for item in range(5)), "photos")
    next(items)
    assert taken == [0]


def test_predict_shows_its_bar_on_the_terminal_and_its_answers_in_the_file(terminal, model, photos):
    program = "import levit.cli.progress_bar as progress; progress.PATIENCE = 0; from levit.cli import main; main()"
    command = [sys.executable, "-c", program, "predict", ".", "--json", "--model", str(model)]
    process = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal.slave, timeout=60, check=False)
    assert process.returncode == 0
    assert [json.loads(line)["file"] for line in process.stdout.splitlines()] == [
        "./a.png",
        "./b.jpg",
        "./deep/er/c.png",
    ]
    assert "images" in terminal.read()
