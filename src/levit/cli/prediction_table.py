"""Predictions as a table that fits the terminal, and that has full names in a pipe."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from levit.errors import printable

if TYPE_CHECKING:
    from levit.errors import ImageError
    from levit.runtime.prediction import Label, Prediction

_GAP = 2  # characters between columns
_SCORE_WIDTH = len("100.0 %")
_MIN_NAME_WIDTH, _MIN_LABEL_WIDTH = 24, 20  # where there is space, so that later sections have the same columns
_WIDTH_WITH_BARS = 60  # characters of a terminal
_SEPARATORS = f"/{os.sep}"  # of folders; Windows has two


class _Line(NamedTuple):
    """Line of an image: a label with its score, or a part of an error without one."""

    text: Text
    score: float | None


class TableWriter:
    """Table with a line for each label, printed in sections, so that a long run shows its first predictions early.

    In a terminal, names are shortened to its width: file names at their beginning, labels at their end. In a pipe or a
    file they are complete, unless the environment has a number of COLUMNS.

    Args:
        top_k: number of labels per image; with 1, each image is one line.
        console: the terminal or file; by default standard output.
    """

    SECTION = 32  # images
    BAR = 12  # characters

    def __init__(self, top_k: int, console: Console | None = None) -> None:
        self._top_k = top_k
        self._console = console or Console(highlight=False)
        self._predictions: list[Prediction] = []
        self._has_header = False
        self._name_width, self._label_width = _MIN_NAME_WIDTH, _MIN_LABEL_WIDTH

    def write(self, prediction: Prediction) -> None:
        """Buffer the labels of an image, or its error without the name of the file."""
        self._predictions.append(prediction)
        if len(self._predictions) == self.SECTION:
            self.flush()

    def flush(self) -> None:
        """Print the buffered section."""
        if not self._predictions:
            return
        labels = [self._label_texts(prediction) for prediction in self._predictions]
        self._set_widths(labels)
        if not self._has_header:
            self._print("image", _Line(Text("label"), None), "dim", suffix="score")
            self._print_gap()
        for prediction, texts in zip(self._predictions, labels, strict=True):
            self._print_image(prediction, texts)
        self._predictions, self._has_header = [], True

    close = flush

    def _label_texts(self, prediction: Prediction) -> list[_Line]:
        """Label of each line, with the best guess beside "unknown"."""
        best = prediction.top(1)
        return [
            _Line(_label_text(label, best[0], "bold" if rank == 0 else "dim"), label.score)
            for rank, label in enumerate(prediction.top_or_unknown(self._top_k))
        ]

    def _set_widths(self, labels: list[list[_Line]]) -> None:
        """Set the widths of both columns of names to those of their content, within the terminal."""
        files = [printable(prediction.source) for prediction in self._predictions]
        longest_file = max(map(cell_len, files))
        longest_label = max((cell_len(line.text.plain) for lines in labels for line in lines), default=0)
        self._name_width = max(self._name_width, longest_file)
        self._label_width = max(self._label_width, longest_label)
        if (width := self._terminal_width) is None:
            return
        available = max(2, width - _SCORE_WIDTH - self._bar_width - 2 * _GAP)
        if self._name_width + self._label_width > available:
            shortest = max(min(cell_len(file), 1 + cell_len(_ends(file)[-1])) for file in files)
            rest = max(available // 2, available - shortest)
            self._label_width = min(max(longest_label, len("label")), rest)
            self._name_width = available - self._label_width

    @property
    def _terminal_width(self) -> int | None:
        is_limited = self._console.is_terminal or os.environ.get("COLUMNS", "").isdigit()
        return self._console.width if is_limited else None

    @property
    def _bar_width(self) -> int:
        width = self._terminal_width
        return self.BAR + 1 if width is None or width >= _WIDTH_WITH_BARS else 0

    def _print_image(self, prediction: Prediction, lines: list[_Line]) -> None:
        name = prediction.source
        for line in lines if prediction.error is None else self._error_lines(prediction.error):
            self._print(name, line, "")
            name = ""
        self._print_gap()

    def _print_gap(self) -> None:
        if self._top_k > 1:
            self._console.print()

    def _print(self, name: str, line: _Line, style: str, suffix: str = "") -> None:
        text = Text(_pad(_shorten_path(printable(name), self._name_width), self._name_width + _GAP), style)
        if line.score is None:
            text.append_text(line.text)
            if suffix:
                text.append(" " * (self._label_width + _GAP - cell_len(line.text.plain)) + suffix, style)
        else:
            label = line.text.copy()
            label.truncate(self._label_width, overflow="ellipsis", pad=True)
            text.append_text(label)
            score = f"{100 * line.score:5.1f} %{' ' + self._bar(line.score) if self._bar_width else ''}"
            text.append(" " * _GAP + score, label.style)
        text.rstrip()
        self._console.print(text, soft_wrap=True)

    def _error_lines(self, error: ImageError) -> list[_Line]:
        message = printable(": ".join(part for part in (error.reason, error.hint) if part))
        width = self._label_width + _GAP + _SCORE_WIDTH + self._bar_width
        parts = [message]
        if self._terminal_width is not None:
            parts = textwrap.wrap(message, width, break_long_words=False, break_on_hyphens=False)
        return [_Line(Text(part, "red"), None) for part in parts]

    def _bar(self, score: float) -> str:
        eighths = round(score * self.BAR * 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _label_text(label: Label, best: Label, style: str) -> Text:
    text = Text(printable(label.name), style)
    if label.index < 0:
        text.append(f" ({printable(best.name)}?)", "not bold dim")
    return text


def _shorten_path(path: str, width: int) -> str:
    """The end of a path in at most `width` characters, from the beginning of a folder or file where possible."""
    if cell_len(path) <= width:
        return path
    fitting = [end for end in _ends(path)[1:] if 1 + cell_len(end) <= width]
    if fitting:
        return "…" + fitting[0]
    while 1 + cell_len(path) > width:
        path = path[1:]
    return "…" + path


def _ends(path: str) -> list[str]:
    """The path, and its ends that begin with a separator of folders, longest first."""
    return [path, *(path[index:] for index, character in enumerate(path) if character in _SEPARATORS)]


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
