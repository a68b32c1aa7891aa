"""The command `levit predict`: classify images."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from levit.cli.classifier_opening import open_classifier
from levit.cli.inputs import Input, MissingInput, Pause, iterate_inputs
from levit.cli.shared_options import (
    BatchSizeOption,
    EngineOption,
    JsonLinesOption,
    MaxPixelsOption,
    ModelOption,
    PathsArgument,
    PrecisionOption,
    PreprocessingOption,
    ProviderOption,
    RevisionOption,
    ThreadsOption,
)
from levit.cli.skipped_files import SkippedFileCounter
from levit.errors import first_few, printable

if TYPE_CHECKING:
    from levit.cli.prediction_writers import PredictionWriter
    from levit.cli.sorted_files import SortedFiles
    from levit.reporting.gallery import Gallery
    from levit.runtime.classifier import Classifier
    from levit.runtime.prediction import Prediction

TopKOption = Annotated[int, typer.Option("--top-k", "-k", min=1, help="Number of labels per image.")]
CsvOption = Annotated[bool, typer.Option("--csv", help="Print one CSV line per label.")]
SortIntoOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Copy each image into a folder of its label; nothing is overwritten.")
]
LinkOption = Annotated[bool, typer.Option("--link", help="With --sort-into: make symbolic links instead of copies.")]
CopyBelowOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, metavar="SCORE", help="With --sort-into: only images whose top score is below this."),
]
GalleryOption = Annotated[
    str | None, typer.Option(metavar="FILE.html", help="Write a page with all images, by label and score.")
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the engine, its precision and the reason on standard error.")
]


def predict(
    paths: PathsArgument,
    model: ModelOption = None,
    revision: RevisionOption = None,
    top_k: TopKOption = 5,
    as_json: JsonLinesOption = False,
    as_csv: CsvOption = False,
    sort_into: SortIntoOption = None,
    is_linked: LinkOption = False,
    copy_below: CopyBelowOption = None,
    gallery: GalleryOption = None,
    batch_size: BatchSizeOption = 16,
    precision: PrecisionOption = "auto",
    engine: EngineOption = "auto",
    provider: ProviderOption = None,
    preprocessing: PreprocessingOption = "fast",
    max_pixels: MaxPixelsOption = None,
    threads: ThreadsOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Classify images.

    The exit code is 1 if some images could not be read; all other images are classified nevertheless.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: give one of them")
    if sort_into is None and (is_linked or copy_below is not None):
        raise typer.BadParameter("--link and --copy-below need --sort-into DIR: add it")
    _check_outputs(paths, sort_into, gallery)
    options = (model, revision, engine, precision, provider, preprocessing, max_pixels, threads)
    classifier = open_classifier(*options, verbose=verbose)
    with ExitStack() as stack:
        outputs = _Outputs(
            _writer("json" if as_json else "csv" if as_csv else "table", top_k),
            _sorted_files(sort_into, classifier, is_linked=is_linked, below=copy_below),
            stack.enter_context(_gallery(gallery, paths, classifier, max_pixels)) if gallery is not None else None,
            SkippedFileCounter(),
        )
        inputs = iterate_inputs(paths, outputs.skipped)
        errors = outputs.write_all(predict_inputs(classifier, inputs, batch_size, outputs.flush))
    if model is None and not (as_json or as_csv) and sys.stdout.isatty():
        _print_number_of_classes(classifier)
    if errors:
        raise typer.Exit(1)


def _print_number_of_classes(classifier: Classifier) -> None:
    """Print what the embedded model can name, and how to get more."""
    from levit.logs import get_logger

    authors = "the authors' weights, a download of 31 MB, name the 1000 of ImageNet: --model levit-128s"
    get_logger().info("%s", f"the embedded model names {len(classifier.labels)} kinds of things; {authors}")


def _writer(name: str, top_k: int) -> PredictionWriter:
    if name == "table":
        from levit.cli.prediction_table import TableWriter

        return TableWriter(top_k)
    from levit.cli.prediction_writers import CsvWriter, JsonWriter

    return JsonWriter(top_k) if name == "json" else CsvWriter(top_k)


def _check_outputs(paths: Sequence[str], folder: str | None, page: str | None) -> None:
    """Refuse a folder inside that of the images and a page in place of an image, before the model is opened."""
    if folder is not None:
        from levit.cli.sorted_files import check_is_apart

        check_is_apart(Path(folder), paths)
    if page is not None:
        from levit.reporting.gallery import check_page

        check_page(Path(page), paths)


def _sorted_files(
    folder: str | None, classifier: Classifier, *, is_linked: bool, below: float | None
) -> SortedFiles | None:
    if folder is None:
        return None
    from levit.cli.sorted_files import SortedFiles

    return SortedFiles(Path(folder), classifier.labels, is_linked=is_linked, below=below)


def _gallery(file: str, paths: Sequence[str], classifier: Classifier, max_pixels: int | None) -> Gallery:
    from levit.images.decoding import MAX_PIXELS
    from levit.reporting.gallery import Gallery

    return Gallery(Path(file), first_few(paths), classifier.artifact.source.name, max_pixels=max_pixels or MAX_PIXELS)


@dataclass(frozen=True)
class _Outputs:
    """Everything that a command makes of the predictions."""

    writer: PredictionWriter
    files: SortedFiles | None
    gallery: Gallery | None
    skipped: SkippedFileCounter

    def flush(self) -> None:
        """Print what is buffered."""
        self.writer.flush()

    def write_all(self, predictions: Iterable[Prediction]) -> int:
        """Write all predictions, and return the number of errors."""
        from levit.cli.progress_bar import track

        errors = 0
        try:
            for prediction in track(predictions, "images", is_printed=True):
                self.writer.write(prediction)
                for output in (self.files, self.gallery):
                    if output is not None:
                        output.write(prediction)
                errors += prediction.error is not None
        finally:
            self.writer.close()
        self._finish()
        return errors

    def _finish(self) -> None:
        from levit.logs import get_logger

        self.skipped.warn()
        if self.files is not None:
            get_logger().info("%s", printable(self.files.describe()))
        if self.gallery is not None:
            self.gallery.finish()
            get_logger().info("%s", printable(self.gallery.describe()))


def predict_inputs(
    classifier: Classifier, inputs: Iterator[Input], batch_size: int, on_pause: Callable[[], None]
) -> Iterator[Prediction]:
    """Yield one prediction per input, in order; a missing input has an error.

    Args:
        classifier: the classifier.
        inputs: the inputs; at each `Pause`, the predictions of all inputs before it are yielded.
        batch_size: number of images that are computed at once.
        on_pause: called after these predictions.
    """
    pending: deque[Input] = deque()  # inputs whose predictions have not been yielded
    is_paused = True

    def paths() -> Iterator[str]:
        nonlocal is_paused
        is_paused = False
        for item in inputs:
            if isinstance(item, Pause):
                is_paused = True
                return
            pending.append(item)
            if not isinstance(item, MissingInput):
                yield item.path

    while is_paused:
        for prediction in classifier.stream(paths(), batch_size=batch_size):
            while isinstance(item := pending.popleft(), MissingInput):
                yield _missing(item, classifier.labels)
            yield _with_flags(prediction)
        while pending and isinstance(item := pending.popleft(), MissingInput):  # after the last image
            yield _missing(item, classifier.labels)
        if is_paused:
            on_pause()


def _missing(item: MissingInput, labels: tuple[str, ...]) -> Prediction:
    from levit.errors import ImageError
    from levit.runtime.image_results import NO_NUMBERS
    from levit.runtime.prediction import Prediction

    error = ImageError(item.reason, source=item.name)
    return Prediction(item.name, NO_NUMBERS, labels, error)  # type: ignore[arg-type]  # an array when it is read


def _with_flags(prediction: Prediction) -> Prediction:
    """The prediction, with flags instead of parameters in the hint of its error."""
    from levit.cli.error_message import IMAGE_FLAGS, render_flags

    error = prediction.error
    if error is None or error.hint is None:
        return prediction
    hint = render_flags(error.hint, IMAGE_FLAGS)
    return replace(prediction, error=type(error)(error.reason, source=error.source, hint=hint))
