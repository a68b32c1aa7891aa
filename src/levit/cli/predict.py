"""The command `levit predict`: classify images."""

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
    ProviderOption,
    RevisionOption,
    ThreadsOption,
)
from levit.cli.inputs import Input, MissingInput, iterate_inputs
from levit.errors import printable

if TYPE_CHECKING:
    from levit.cli.prediction_writers import PredictionWriter
    from levit.runtime.classifier import Classifier
    from levit.runtime.prediction import Label, Prediction

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...", help="Images, folders (searched recursively), patterns, or - for a list on stdin."
    ),
]
ModelOption = Annotated[
    str | None, typer.Option(help="An exported .onnx file or a checkpoint; default: the embedded model.")
]
TopKOption = Annotated[int, typer.Option(min=1, help="Number of labels per image.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per image.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print one CSV line per label.")]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the engine, its precision and the reason on standard error.")
]


def predict(
    paths: PathsArgument,
    model: ModelOption = None,
    revision: RevisionOption = None,
    top_k: TopKOption = 5,
    as_json: JsonOption = False,
    as_csv: CsvOption = False,
    batch_size: BatchSizeOption = 16,
    precision: PrecisionOption = Precision.AUTO,
    engine: EngineOption = Engine.AUTO,
    provider: ProviderOption = None,
    preprocessing: PreprocessingOption = Preprocessing.FAST,
    threads: ThreadsOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Classify images.

    The exit code is 1 if some images could not be read; all other images are classified nevertheless.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: give one of them")
    _skip_model_converter()
    from levit.cli.prediction_writers import PREDICTION_WRITERS
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
        _print_engine(classifier)
    writer = PREDICTION_WRITERS["json" if as_json else "csv" if as_csv else "table"]()
    predictions = _predict(classifier, iterate_inputs(paths), batch_size)
    if _write(track(predictions, "images", is_printed=True), writer, top_k):
        raise typer.Exit(1)


def _skip_model_converter() -> None:
    """Prevent `import openvino` from importing its model converter, which takes a tenth of a second."""
    sys.modules.setdefault("openvino.tools.ovc", None)  # type: ignore[arg-type]


def _print_engine(classifier: Classifier) -> None:
    from levit.logs import get_logger

    engine, name = classifier.engine, classifier.artifact.source.name
    get_logger().info("%s", printable(f"{name}: {engine.name}, {engine.precision} ({engine.reason})"))


def _predict(classifier: Classifier, inputs: Iterable[Input], batch_size: int) -> Iterator[Prediction]:
    """Yield one prediction per input, in order; a missing input has an error."""
    pending: deque[Input] = deque()  # inputs whose predictions have not been yielded

    def paths() -> Iterator[str]:
        for item in inputs:
            pending.append(item)
            if not isinstance(item, MissingInput):
                yield item.path

    for prediction in classifier.stream(paths(), batch_size=batch_size):
        while isinstance(item := pending.popleft(), MissingInput):
            yield _missing(item, classifier.labels)
        yield prediction
    for item in pending:  # after the last image there are missing inputs only
        if isinstance(item, MissingInput):
            yield _missing(item, classifier.labels)


def _missing(item: MissingInput, labels: tuple[str, ...]) -> Prediction:
    import numpy as np

    from levit.errors import ImageError
    from levit.runtime.prediction import Prediction

    return Prediction(item.name, np.empty(0, np.float32), labels, error=ImageError(item.reason, source=item.name))


def _write(predictions: Iterable[Prediction], writer: PredictionWriter, top_k: int) -> int:
    """Write all predictions, and return the number of errors."""
    errors = 0
    try:
        for prediction in predictions:
            writer.write(prediction.source, _best_labels(prediction, top_k), prediction.error)
            errors += prediction.error is not None
        return errors
    finally:
        writer.close()


def _best_labels(prediction: Prediction, top_k: int) -> list[Label]:
    """The best `top_k` labels; for a rejected image, "unknown" with the score of the best class is the first."""
    from levit.runtime.prediction import Label

    best = prediction.top(top_k)
    return [Label("unknown", -1, best[0].score), *best][:top_k] if prediction.is_unknown else best
