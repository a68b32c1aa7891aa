"""`levit predict`: what is on these photos?"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from levit.cli.engine_options import (
    BatchSizeOption,
    Engine,
    EngineOption,
    Precision,
    PrecisionOption,
    Preprocessing,
    PreprocessingOption,
    RevisionOption,
)
from levit.cli.inputs import MissingInput, iterate_inputs

if TYPE_CHECKING:
    from levit.cli.output import Writer
    from levit.runtime.prediction import Label, Prediction


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
    revision: RevisionOption = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels to give for each image.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV line for each label.")] = False,
    batch_size: BatchSizeOption = 16,
    precision: PrecisionOption = Precision.AUTO,
    engine: EngineOption = Engine.AUTO,
    provider: Annotated[
        str | None, typer.Option(help="Where onnxruntime runs (cpu, cuda), or the device of torch (cpu, cuda, mps).")
    ] = None,
    preprocessing: PreprocessingOption = Preprocessing.FAST,
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many threads to use; default: the cores that this process may use.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on standard error what was chosen, and why.")
    ] = False,
) -> None:
    """Classify images.

    The exit code is 1 when some images could not be read; the others are answered all the same.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: give one of them")
    # OpenVINO imports its model converter where it finds it: a tenth of a second that a prediction can do without.
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]
    from levit.cli.output import WRITERS
    from levit.cli.progress_bar import track
    from levit.runtime.classifier import Classifier

    classifier = Classifier(
        model,
        engine=engine.value,
        precision=precision.value,
        threads=threads,
        provider=provider,
        preprocessing=preprocessing.value,
        revision=revision,
    )
    if verbose:
        chosen = classifier.engine
        name = classifier.artifact.source.name
        typer.echo(f"levit: {name}: {chosen.name}, {chosen.precision} ({chosen.reason})", err=True)
    named = _Named(paths)
    predictions = track(classifier.stream(named, batch_size=batch_size), "images", is_printed=True)
    if _write(predictions, named, WRITERS["json" if as_json else "csv" if as_csv else "table"](), top_k):
        raise typer.Exit(1)


def _write(predictions: Iterable[Prediction], named: _Named, writer: Writer, top_k: int) -> int:
    """Write every answer, and what led to none; how many those were."""
    failed = 0
    try:
        for prediction in predictions:
            failed += _write_missing(writer, named.missing_before_next())
            error = str(prediction.error) if prediction.error else None
            writer.write(prediction.source, [] if error else _answers(prediction, top_k), error)
            failed += error is not None
        return failed + _write_missing(writer, named.missing_before_next())
    finally:
        writer.close()


def _answers(prediction: Prediction, top_k: int) -> list[Label]:
    """The best labels; behind "unknown" where a calibrated model should not answer."""
    from levit.runtime.prediction import Label

    best = prediction.top(top_k)
    return [Label("unknown", -1, best[0].score), *best][:top_k] if prediction.is_unknown else best


class _Named:
    """The files that the user named, for a stream; what led to no file is kept in its place among the answers."""

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._missing: deque[tuple[int, MissingInput]] = deque()  # with the number of files that came before it
        self._taken = self._answered = 0

    def __iter__(self) -> Iterator[str]:
        for item in iterate_inputs(self._paths):
            if isinstance(item, MissingInput):
                self._missing.append((self._taken, item))
            else:
                self._taken += 1
                yield item.path

    def missing_before_next(self) -> Iterator[MissingInput]:
        """What is to be reported before the next answer."""
        while self._missing and self._missing[0][0] <= self._answered:
            yield self._missing.popleft()[1]
        self._answered += 1


def _write_missing(writer: Writer, missing: Iterable[MissingInput]) -> int:
    """Report what led to no file; how many that were."""
    items = list(missing)
    for item in items:
        writer.write(item.name, [], f"{item.name}: {item.reason}")
    return len(items)
