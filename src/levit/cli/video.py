"""The command `levit video`: classify the frames of a video or a camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from levit.cli.classifier_opening import open_classifier
from levit.cli.shared_options import (
    BatchSizeOption,
    EngineOption,
    ModelOption,
    PrecisionOption,
    PreprocessingOption,
    ProviderOption,
    RevisionOption,
    ThreadsOption,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from levit.images.video import Frame
    from levit.runtime.classifier import Classifier
    from levit.runtime.prediction import Prediction


def video(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A video file, or the index of a camera, such as 0.")],
    every: Annotated[int, typer.Option(min=1, help="Classify every n-th frame.")] = 1,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, help="Number of labels per frame.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per frame.")] = False,
    model: ModelOption = None,
    revision: RevisionOption = None,
    batch_size: BatchSizeOption = 16,
    precision: PrecisionOption = "auto",
    engine: EngineOption = "auto",
    provider: ProviderOption = None,
    preprocessing: PreprocessingOption = "fast",
    threads: ThreadsOption = None,
) -> None:
    """Classify the frames of a video file or a camera: one line per frame, with its time in seconds.

    The frames of a camera are classified one by one, until Ctrl-C; the exit code is then 130. It is 1 if some frames
    could not be classified.
    """
    from levit.cli.json_output import print_json
    from levit.errors import printable
    from levit.images.video import read_frames

    camera = int(source) if source.isdecimal() else None
    frames = read_frames(source if camera is None else camera, every=every)
    classifier = open_classifier(model, revision, engine, precision, provider, preprocessing, None, threads)
    pairs = _classify(classifier, frames, batch_size) if camera is None else _classify_now(classifier, frames)
    errors = 0
    for frame, prediction in pairs:
        errors += prediction.error is not None
        values = {"file": source, "frame": frame.number, "seconds": round(frame.seconds, 3)}
        result = prediction.to_dict(top_k)
        if as_json:
            print_json(values | {"labels": result["labels"], "error": result["error"]})
        else:
            names = ", ".join(f"{label['name']} {100 * label['score']:.1f} %" for label in result["labels"])
            print(printable(f"{frame.seconds:9.3f} s  {result['error'] or names}"), flush=True)
    if errors:
        raise typer.Exit(1)


def _classify(classifier: Classifier, frames: Iterator[Frame], batch_size: int) -> Iterator[tuple[Frame, Prediction]]:
    """Classify the frames of a file in batches."""
    import numpy

    pending: deque[Frame] = deque()  # without their pixels
    nothing = numpy.empty((0, 0, 3), numpy.uint8)

    def images() -> Iterator[NDArray[np.uint8]]:
        for frame in frames:
            pending.append(frame._replace(pixels=nothing))
            yield frame.pixels

    for prediction in classifier.stream(images(), batch_size=batch_size):
        yield pending.popleft(), prediction


def _classify_now(classifier: Classifier, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Prediction]]:
    """Classify the frames of a camera as they come."""
    for frame in frames:
        yield frame, classifier(frame.pixels)
