"""`levit evaluate`: metrics of a model on labeled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from levit.cli.shared_options import (
    AllowOutsideOption,
    BatchSizeOption,
    ClassMapOption,
    EngineOption,
    JsonOption,
    MaxPixelsOption,
    PrecisionOption,
    PreprocessingOption,
    ProviderOption,
    RevisionOption,
    SplitOption,
    ThreadsOption,
    read_class_map,
)
from levit.spec.choices import OnBadImage

if TYPE_CHECKING:
    from levit.evaluation.evaluation_set import EvaluationSet
    from levit.evaluation.multi_label import MultiLabelEvaluation
    from levit.evaluation.single_label_pass import Evaluation
    from levit.runtime.classifier import Classifier

_Evaluation = TypeVar("_Evaluation", "Evaluation", "MultiLabelEvaluation")

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="Exported file, checkpoint or model name; -: the embedded model.")
]
DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="Labeled images: a folder, a table, a parquet file, or a list of files.")
]
OutOption = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="DIR", help="Write report.html, metrics.json, tables and predictions to a folder."
    ),
]
DataClassesOnlyOption = Annotated[
    bool, typer.Option("--data-classes-only", help="Predict only classes that occur in the data.")
]
OnBadImageOption = Annotated[
    OnBadImage, typer.Option(help="Count and name images that cannot be evaluated, or fail at the first.")
]
CompareOption = Annotated[
    str | None, typer.Option(metavar="MODEL", help="Evaluate a second model and show where the two differ.")
]
SaveAccuracyOption = Annotated[
    bool, typer.Option("--save-accuracy", help="Write the accuracy into the metadata of the exported file.")
]
DuplicatesOption = Annotated[
    bool, typer.Option("--duplicates/--no-duplicates", help="Look for duplicate images, also in the other splits.")
]


def evaluate(
    model: ModelArgument,
    data: DataArgument,
    split: SplitOption = None,
    out: OutOption = None,
    class_map: ClassMapOption = None,
    data_classes_only: DataClassesOnlyOption = False,
    on_bad_image: OnBadImageOption = "skip",
    engine: EngineOption = "auto",
    precision: PrecisionOption = "auto",
    provider: ProviderOption = None,
    preprocessing: PreprocessingOption = "fast",
    max_pixels: MaxPixelsOption = None,
    threads: ThreadsOption = None,
    batch_size: BatchSizeOption = 16,
    compare: CompareOption = None,
    save_accuracy: SaveAccuracyOption = False,
    revision: RevisionOption = None,
    find_duplicates: DuplicatesOption = True,
    allow_outside: AllowOutsideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Evaluate a model on labeled images, with the same runtime as predict.

    The exit code is 1 if some images could not be evaluated; all other images are evaluated nevertheless.
    """
    if save_accuracy:
        _check_save_accuracy(model, data_classes_only=data_classes_only)
    from levit.cli.classifier_opening import classifier_options
    from levit.evaluation.evaluation_set import open_evaluation_set

    images = open_evaluation_set(data, split=split, allow_outside=allow_outside, threads=threads)
    settings = classifier_options(engine, precision, provider, preprocessing, max_pixels, threads)
    run = _Run(
        model, images, settings, revision, read_class_map(class_map), data_classes_only, on_bad_image, batch_size,
        Path(out) if out is not None else None, find_duplicates, as_json,
    )  # fmt: skip
    if not images.is_multi_label:
        run.evaluate(compare, save_accuracy=save_accuracy)
    elif compare is not None or save_accuracy or data_classes_only:
        flags = "--compare, --save-accuracy and --data-classes-only"
        raise typer.BadParameter(f"{data}: {flags} need images with one label each")
    else:
        run.evaluate_multi_label()


def _check_save_accuracy(model: str, *, data_classes_only: bool) -> None:
    """Check that an accuracy can be saved: of an exported file, over all of its labels."""
    if data_classes_only:
        raise typer.BadParameter("--save-accuracy saves the accuracy over all labels: leave out --data-classes-only")
    from levit.exporting.artifact_files import check_updatable

    check_updatable(Path(model))


@dataclass(frozen=True)
class _Run:
    """Arguments of the command that both kinds of evaluation share."""

    model: str
    images: EvaluationSet
    settings: dict[str, Any]
    revision: str | None
    class_map: dict[str, str] | None
    data_classes_only: bool
    on_bad_image: OnBadImage
    batch_size: int
    out: Path | None
    finds_duplicates: bool
    as_json: bool

    def evaluate(self, compare: str | None, *, save_accuracy: bool) -> None:
        """Evaluate images with one label each."""
        from levit.cli.evaluation_summary import print_evaluation
        from levit.reporting.evaluate import evaluate

        model, other = self._open_model(self.model), None if compare is None else self._open_model(compare)
        evaluation = evaluate(
            model, self.images, compare=other, data_classes_only=self.data_classes_only, **self._options()
        )
        if save_accuracy:
            from levit.exporting.artifact_files import record_accuracy

            record_accuracy(self.model, evaluation.accuracy)
        self._finish(evaluation, print_evaluation)

    def evaluate_multi_label(self) -> None:
        """Evaluate images with any number of labels each."""
        from levit.cli.evaluation_summary import print_multi_label_evaluation
        from levit.reporting.evaluate import evaluate_multi_label

        model = self._open_model(self.model)
        self._finish(evaluate_multi_label(model, self.images, **self._options()), print_multi_label_evaluation)

    def _options(self) -> dict[str, Any]:
        """Arguments that both kinds of evaluation have."""
        from levit.cli.progress_bar import track

        return {
            "out": self.out,
            "class_map": self.class_map,
            "on_bad_image": self.on_bad_image,
            "batch_size": self.batch_size,
            "find_duplicates": self.finds_duplicates,
            "duplicates_progress": lambda hashed: track(hashed, "looking for duplicates"),
            "progress": lambda predictions: track(predictions, f"evaluating on {self.images.name}"),
        }

    def _finish(self, evaluation: _Evaluation, print_summary: Callable[[_Evaluation, Path | None], None]) -> None:
        from levit.cli.json_output import print_json

        if self.as_json:
            print_json(evaluation.to_dict())
        else:
            print_summary(evaluation, self.out)
        if evaluation.bad_images:
            raise typer.Exit(1)

    def _open_model(self, name: str) -> Classifier:
        from levit.runtime.classifier import Classifier

        revision = self.revision if name == self.model else None
        return Classifier(None if name == "-" else name, revision=revision, **self.settings)
