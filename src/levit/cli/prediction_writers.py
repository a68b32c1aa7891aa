"""Writers of predictions to standard output: JSON lines, CSV, or a table."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from levit.cli.output import print_json
from levit.errors import printable

if TYPE_CHECKING:
    from levit.errors import ImageError
    from levit.runtime.prediction import Label


class PredictionWriter(Protocol):
    """Writer of predictions, one after the other."""

    def write(self, file: str, labels: list[Label], error: ImageError | None) -> None:
        """Write the labels of an image, best first, or the error of an image without labels."""
        ...

    def close(self) -> None:
        """Write buffered output."""
        ...


class JsonWriter:
    """One JSON object per line and image."""

    def write(self, file: str, labels: list[Label], error: ImageError | None) -> None:
        """Write the labels of an image, or its error."""
        text = None if error is None else str(error)
        print_json({"file": file, "labels": [asdict(label) for label in labels], "error": text})

    def close(self) -> None:
        """Do nothing, since there is no buffer."""


class CsvWriter:
    """One CSV line per label, or per image without labels; scores have six decimals.

    On a terminal, characters that could control it are escaped; a file or another program gets names as they are.
    """

    def __init__(self) -> None:
        self._text: Callable[[str], str] = printable if sys.stdout.isatty() else str
        self._csv = csv.writer(sys.stdout, lineterminator="\n")
        self._csv.writerow(["file", "rank", "name", "index", "score", "error"])

    def write(self, file: str, labels: list[Label], error: ImageError | None) -> None:
        """Write the labels of an image, or its error."""
        for rank, label in enumerate(labels, start=1):
            self._csv.writerow([self._text(file), rank, self._text(label.name), label.index, f"{label.score:.6f}", ""])
        if error is not None:
            self._csv.writerow([self._text(file), "", "", "", "", str(error)])
        sys.stdout.flush()

    def close(self) -> None:
        """Do nothing, since there is no buffer."""


class TableWriter:
    """Table for a terminal, printed in sections, so that a long run shows its first predictions early."""

    SECTION = 32  # images
    BAR = 12  # characters
    ERROR_STYLE = "red"

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._images: list[tuple[str, list[tuple[Text, Text]]]] = []
        self._has_header = False

    def write(self, file: str, labels: list[Label], error: ImageError | None) -> None:
        """Buffer the labels of an image, or its error without the name of the file."""
        if error is None:
            lines = [self._line(label, "bold" if rank == 0 else "dim") for rank, label in enumerate(labels)]
        else:
            text = ": ".join(part for part in (error.reason, error.hint) if part)
            lines = [(Text(printable(text), self.ERROR_STYLE), Text())]
        self._images.append((file, lines))
        if len(self._images) == self.SECTION:
            self.close()

    def close(self) -> None:
        """Print the buffered section."""
        if not self._images:
            return
        score_width = 9 + self.BAR
        name_width = (max(self._console.width, 60) - score_width) // 2 - 3
        show_header = not self._has_header
        table = Table(box=None, show_header=show_header, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("image", width=name_width, overflow="fold")
        table.add_column("label", width=name_width, overflow="fold")
        table.add_column("score", width=score_width, no_wrap=True)
        if show_header:
            table.add_row()
        for file, lines in self._images:
            for number, line in enumerate(lines):
                table.add_row(Text(printable(file) if number == 0 else ""), *line)
            table.add_row()
        self._console.print(table)
        self._images, self._has_header = [], True

    def _line(self, label: Label, style: str) -> tuple[Text, Text]:
        return Text(printable(label.name), style), Text(f"{100 * label.score:5.1f} % {self._bar(label.score)}", style)

    def _bar(self, score: float) -> str:
        eighths = round(score * self.BAR * 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


PREDICTION_WRITERS: dict[str, Callable[[], PredictionWriter]] = {
    "json": JsonWriter,
    "csv": CsvWriter,
    "table": TableWriter,
}
