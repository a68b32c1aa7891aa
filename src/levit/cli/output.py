"""Predictions as a table, as JSON lines or as CSV, written as they come."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from levit.runtime.prediction import Label
    from levit.spec.artifact import Accuracy, Artifact, Rejection

ERROR_STYLE = "red"


class Writer(Protocol):
    """Takes one answer after the other."""

    def write(self, file: str, labels: list[Label], error: str | None) -> None:
        """One image's labels, or why there are none."""
        ...

    def close(self) -> None:
        """Write what is still held back."""
        ...


def print_json(values: Any) -> None:
    """One line of JSON, whatever the encoding of the standard output is."""
    # Escapes are valid everywhere; the names themselves are nicer where the output can hold them.
    print(json.dumps(values, ensure_ascii=not _is_utf8()), flush=True)


class JsonWriter:
    """One object a line."""

    def write(self, file: str, labels: list[Label], error: str | None) -> None:
        """One image's labels, or why there are none."""
        record = {"file": file, "labels": [asdict(label) for label in labels], "error": error}
        print_json(record)

    def close(self) -> None:
        """Nothing is held back."""


class CsvWriter:
    """One line for each label of each image, and one for each image without labels."""

    def __init__(self) -> None:
        self._csv = csv.writer(sys.stdout, lineterminator="\n")
        self._csv.writerow(["file", "rank", "name", "index", "score", "error"])

    def write(self, file: str, labels: list[Label], error: str | None) -> None:
        """One image's labels, or why there are none."""
        for rank, label in enumerate(labels, start=1):
            self._csv.writerow([file, rank, label.name, label.index, f"{label.score:.6f}", ""])
        if error is not None:
            self._csv.writerow([file, "", "", "", "", error])
        sys.stdout.flush()

    def close(self) -> None:
        """Nothing is held back."""


class TableWriter:
    """A table for people, in sections, so that a long run shows its first answers at once."""

    SECTION = 32
    BAR = 12

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._images: list[tuple[str, list[tuple[Text, Text]]]] = []
        self._header = True

    def write(self, file: str, labels: list[Label], error: str | None) -> None:
        """One image's labels, or why there are none."""
        lines = [(Text(_printable((error or "").removeprefix(f"{file}: ")), ERROR_STYLE), Text())]
        if error is None:
            lines = [self._line(label, "bold" if rank == 0 else "dim") for rank, label in enumerate(labels)]
        self._images.append((file, lines))
        if len(self._images) == self.SECTION:
            self.close()

    def close(self) -> None:
        """Write what is still held back."""
        if not self._images:
            return
        numbers = 9 + self.BAR
        names = (max(self._console.width, 60) - numbers) // 2 - 3
        table = Table(box=None, show_header=self._header, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("image", width=names, overflow="fold")
        table.add_column("label", width=names, overflow="fold")
        table.add_column("score", width=numbers, no_wrap=True)
        if self._header:
            table.add_row()
        for file, lines in self._images:
            for number, line in enumerate(lines):
                table.add_row(Text(_printable(file) if number == 0 else ""), *line)
            table.add_row()
        self._console.print(table)
        self._images, self._header = [], False

    def _line(self, label: Label, style: str) -> tuple[Text, Text]:
        return Text(label.name, style), Text(f"{100 * label.score:5.1f} % {self._bar(label.score)}", style)

    def _bar(self, score: float) -> str:
        eighths = round(score * self.BAR * 8)
        return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _printable(text: str) -> str:
    """The text without what would steer the terminal: file names may hold anything."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


WRITERS: dict[str, Callable[[], Writer]] = {"json": JsonWriter, "csv": CsvWriter, "table": TableWriter}


def print_fields(fields: dict[str, str]) -> None:
    """A small table of names and values."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name, Text(value))
    Console(highlight=False).print(table)


def rejection_field(rejection: Rejection) -> str:
    """The threshold of rejection, with coverage and precision, as text."""
    return (
        f"below a score of {100 * rejection.threshold:.1f} %: of {rejection.images:,} images of {rejection.data} "
        f"{100 * rejection.coverage:.1f} % are predicted, {100 * rejection.precision:.1f} % of them correctly"
    )


def accuracy_fields(artifact: Artifact) -> dict[str, str]:
    """Accuracy, quantization and rejection of a model as text, as far as they are recorded."""
    fields, accuracy, quantization = {}, artifact.accuracy, artifact.quantization
    if artifact.rejection is not None:
        fields["unknown"] = rejection_field(artifact.rejection)
    if accuracy is not None:
        fields["accuracy"] = (
            f"{_percent(accuracy)} of {accuracy.images:,} images of {accuracy.data} "
            f"({accuracy.engine}, {accuracy.precision})"
        )
    if quantization is None:
        return fields
    if quantization.fp32 is not None:
        fields["in fp32"] = _percent(quantization.fp32)
    fields["quantized"] = (
        f"on {quantization.images:,} images of {quantization.data}; {100 * quantization.agreement:.1f} % of the "
        f"predictions are those of fp32, logits within {quantization.max_logit_difference:.2g}"
    )
    kept = quantization.float_layers
    fields["left in float"] = f"{len(kept)} layers: {', '.join(kept)}" if kept else "no layer but the head"
    return fields


def _percent(accuracy: Accuracy) -> str:
    return f"{100 * accuracy.top1:.2f} % top-1, {100 * accuracy.top5:.2f} % top-5"
