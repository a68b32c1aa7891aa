"""`levit evaluate`: how good is a model on labeled images?"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
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

if TYPE_CHECKING:
    from levit.data.duplicates import Duplicates
    from levit.data.labeled_images import LabeledDataset
    from levit.evaluation.comparison import Comparison
    from levit.evaluation.evaluator import Evaluation, OnPrediction
    from levit.evaluation.multi_label import MultiLabelEvaluation
    from levit.runtime.classifier import Classifier


class OnBadImage(StrEnum):
    """What happens to an image that cannot be used."""

    SKIP = "skip"
    FAIL = "fail"


def evaluate(
    model: Annotated[str, typer.Argument(help="An exported file, a checkpoint or a name; - is the model inside.")],
    data: Annotated[str, typer.Argument(help="A folder, a parquet file, or a list of files.")],
    split: Annotated[
        str | None, typer.Option(help="Which part: validation, test or train; default: the first that is there.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="Also write report.html, metrics.json, tables and predictions.")
    ] = None,
    class_map: Annotated[
        str | None, typer.Option(metavar="FILE.json", help="For classes of other names: the label that is meant.")
    ] = None,
    on_bad_image: Annotated[
        OnBadImage, typer.Option(help="Count and name what cannot be used, or fail.")
    ] = OnBadImage.SKIP,
    skip: Annotated[int, typer.Option(min=0, help="Leave out as many images, those that calibrated the model.")] = 0,
    engine: EngineOption = Engine.AUTO,
    precision: PrecisionOption = Precision.AUTO,
    preprocessing: PreprocessingOption = Preprocessing.FAST,
    batch_size: BatchSizeOption = 16,
    compare: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Also judge another model, and say where they differ.")
    ] = None,
    save_accuracy: Annotated[
        bool, typer.Option("--save-accuracy", help="Write the accuracy into the exported file.")
    ] = False,
    revision: RevisionOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as one JSON object.")] = False,
) -> None:
    """Judge a model on labeled images, by the same runtime that predicts.

    The exit code is 1 when some images could not be used; the others are judged all the same.
    """
    if save_accuracy and not (Path(model).suffix == ".onnx" and Path(model).exists()):
        raise typer.BadParameter(f"--save-accuracy: {model} is no exported file: export the checkpoint first")
    from levit.cli.evaluation_summary import print_evaluation, print_multi_label
    from levit.data.open_data import open_with_other_splits
    from levit.reporting.evaluation_output import metrics
    from levit.reporting.multi_label_output import multi_label_metrics
    from levit.runtime.classifier import Classifier

    def open_model(name: str) -> Classifier:
        return Classifier(
            None if name == "-" else name,
            engine=engine.value,
            precision=precision.value,
            preprocessing=preprocessing.value,
            revision=revision if name == model else None,
        )

    images, others = open_with_other_splits(data, split=split)
    judging = _Judging(images, others, _read_map(class_map), on_bad_image, batch_size, skip)
    folder = Path(out) if out is not None else None
    if images.is_multi_label:
        if compare is not None or save_accuracy or skip:
            raise typer.BadParameter(f"{data}: --compare, --save-accuracy and --skip need images with one label each")
        several = judging.multi_label(open_model(model), folder)
        figures, bad, show = multi_label_metrics(several), several.bad, partial(print_multi_label, several, out)
    else:
        one, comparison = judging.one_label_each(open_model, model, compare, folder)
        figures, bad, show = metrics(one, comparison), one.bad, partial(print_evaluation, one, comparison, out)
    if as_json:
        from levit.cli.output import print_json

        print_json(figures)
    else:
        show()
    if save_accuracy:
        from levit.exporting.export import record_accuracy

        record_accuracy(model, one.accuracy)
    if bad:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Judging:
    """Labeled images, and how they are judged."""

    images: LabeledDataset
    others: dict[str, LabeledDataset]
    class_map: dict[str, str] | None
    on_bad_image: OnBadImage
    batch_size: int
    skip: int

    def one_label_each(
        self, open_model: Callable[[str], Classifier], model: str, compare: str | None, folder: Path | None
    ) -> tuple[Evaluation, Comparison | None]:
        from levit.cli.progress_bar import track
        from levit.evaluation.evaluator import evaluate as run
        from levit.reporting.evaluation_output import judge_and_write

        duplicates = cache(self._find_duplicates)

        def judge(name: str, told: OnPrediction) -> Evaluation:
            return run(
                open_model(name),
                self.images,
                class_map=self.class_map,
                on_bad_image=self.on_bad_image.value,
                batch_size=self.batch_size,
                skip=self.skip,
                duplicates=duplicates,
                watch=lambda predictions: track(predictions, f"judging {self.images.name}"),
                on_prediction=told,
            )

        return judge_and_write(judge, model, compare, folder)

    def multi_label(self, classifier: Classifier, folder: Path | None) -> MultiLabelEvaluation:
        from levit.cli.progress_bar import track
        from levit.evaluation.multi_label import evaluate_multi_label
        from levit.reporting.evaluation_output import replaced_folder
        from levit.reporting.multi_label_output import write_multi_label

        with replaced_folder(folder) if folder is not None else nullcontext() as temporary:
            found = evaluate_multi_label(
                classifier,
                self.images,
                class_map=self.class_map,
                fails=self.on_bad_image is OnBadImage.FAIL,
                batch_size=self.batch_size,
                duplicates=self._find_duplicates,
                watch=lambda items: track(items, f"judging {self.images.name}"),
            )
            if temporary is not None:
                write_multi_label(found, temporary)
        return found

    def _find_duplicates(self) -> Duplicates:
        from levit.cli.progress_bar import track
        from levit.data.duplicates import find_duplicates
        from levit.data.subsets import exclude_calibration
        from levit.runtime.cpu_count import usable_cores

        return find_duplicates(
            exclude_calibration(self.images, self.skip),
            self.others,
            threads=usable_cores(),
            progress=lambda hashed: track(hashed, "looking for duplicates"),
        )


def _read_map(file: str | None) -> dict[str, str] | None:
    if file is None:
        return None
    from levit.errors import DataError

    try:
        mapping = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read ({error})") from error
    if not isinstance(mapping, dict) or not all(isinstance(label, str) for label in mapping.values()):
        raise DataError(f'{file}: give one object of class names and labels, as {{"moggy": "tabby, tabby cat"}}')
    return mapping
