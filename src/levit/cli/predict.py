"""`levit predict`: what is on these photos?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from levit.cli.inputs import NoImages, expand

if TYPE_CHECKING:
    from levit.cli.output import Writer


class Precision(StrEnum):
    """Precision of the arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, folders (searched recursively), patterns, or - for a list on stdin.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="An exported .onnx file or a checkpoint; by default the model inside the package."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit, for a name on the hub.")] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels to give for each image.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV line for each label.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="How many images to compute at once.")] = 16,
    precision: Annotated[
        Precision, typer.Option(help="Of the arithmetic; auto is bf16 where the processor has it, otherwise fp32.")
    ] = Precision.AUTO,
    threads: Annotated[int | None, typer.Option(min=1, help="How many threads to use; default: all cores.")] = None,
) -> None:
    """Classify images.

    The exit code is 1 when some images could not be read; the others are answered all the same.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: give one of them")
    from levit.cli.output import WRITERS
    from levit.cli.progress import track
    from levit.runtime.classifier import Classifier

    classifier = Classifier(model, precision=precision.value, threads=threads, revision=revision)
    writer = WRITERS["json" if as_json else "csv" if as_csv else "table"]()
    named = _Named(paths)
    failed = 0
    try:
        for prediction in track(classifier.stream(named, batch_size=batch_size), "images"):
            failed += _write_missing(writer, named.missing_before_next())
            error = str(prediction.error) if prediction.error else None
            writer.write(prediction.source, [] if error else prediction.top(top_k), error)
            failed += error is not None
        failed += _write_missing(writer, named.missing_before_next())
    finally:
        writer.close()
    if failed:
        raise typer.Exit(1)


class _Named:
    """The files that the user named, for a stream; what led to no file is kept in its place among the answers."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._missing: deque[tuple[int, NoImages]] = deque()  # with the number of files that came before it
        self._taken = self._answered = 0

    def __iter__(self) -> Iterator[str]:
        for item in expand(self._paths):
            if isinstance(item, NoImages):
                self._missing.append((self._taken, item))
            else:
                self._taken += 1
                yield item

    def missing_before_next(self) -> Iterator[NoImages]:
        """What is to be reported before the next answer."""
        while self._missing and self._missing[0][0] <= self._answered:
            yield self._missing.popleft()[1]
        self._answered += 1


def _write_missing(writer: Writer, missing: Iterable[NoImages]) -> int:
    """Report what led to no file; how many that were."""
    items = list(missing)
    for item in items:
        writer.write(item.name, [], f"{item.name}: {item.reason}")
    return len(items)
