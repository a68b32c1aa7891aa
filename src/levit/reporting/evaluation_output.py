"""Files of an evaluation: metrics.json, CSV tables, predictions and the report, for one or several labels per image."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from levit.data.labeled_images import LabeledImage
from levit.evaluation.comparison import Comparison, ComparisonAccumulator, RecordedPredictions
from levit.evaluation.multi_label import MultiLabelEvaluation
from levit.evaluation.shown_names import shown_names
from levit.evaluation.single_label_pass import Evaluation, OnPrediction
from levit.reporting.evaluation_report import evaluation_report
from levit.reporting.metrics_json import evaluation_metrics, format_json
from levit.reporting.mistakes_table import MISTAKES_FILE, MistakesTable
from levit.reporting.multi_label_report import multi_label_report
from levit.reporting.output_folder import METRICS_FILE, output_folder
from levit.reporting.predictions_table import PredictionsTable
from levit.runtime.prediction import Prediction

EvaluateModels = Callable[[Sequence[tuple[str, OnPrediction]]], list[Evaluation]]
"""Function that evaluates models, each given by its name and a callback, on the same images."""


def evaluate_and_write(
    evaluate: EvaluateModels, model: str, other_model: str | None, out: Path | None
) -> tuple[Evaluation, Comparison | None]:
    """Evaluate a model, compare it with a second model, and write the results into a folder.

    Args:
        evaluate: evaluates one or two models.
        model: name of the model.
        other_model: name of the second model, or None.
        out: output folder, or None.

    Returns:
        The evaluation of the first model and the comparison.

    Raises:
        DataError: the output folder has other contents, or cannot be written.
        ImportError: pyarrow is not installed.
    """
    recorded = RecordedPredictions()
    accumulator = ComparisonAccumulator(recorded)
    with ExitStack() as stack:
        folder = stack.enter_context(output_folder(out)) if out is not None else None
        tables: list[PredictionsTable | MistakesTable] = []
        if folder is not None:
            tables.append(stack.enter_context(PredictionsTable(folder / "predictions.parquet")))
            tables.append(stack.enter_context(MistakesTable(folder / MISTAKES_FILE)))

        def on_prediction(item: LabeledImage, prediction: Prediction, target: int) -> None:
            recorded.add(item, prediction, target)
            for table in tables:
                table.add(item, prediction, target)

        models: list[tuple[str, OnPrediction]] = [(model, on_prediction)]
        if other_model is not None:
            models.append((other_model, accumulator.add))
        evaluation, *others = evaluate(models)
        given = (model, other_model or "")
        comparison = accumulator.result(evaluation, others[0], given=given) if others else None
        if folder is not None:
            write_evaluation(evaluation, folder, comparison)
    return evaluation, comparison


def write_evaluation(evaluation: Evaluation, folder: Path, comparison: Comparison | None = None) -> None:
    """Write metrics.json, per_class.csv, confusion.csv and report.html into an existing folder."""
    _write_text(folder / METRICS_FILE, format_json(evaluation_metrics(evaluation, comparison)))
    scores, labels = evaluation.per_class, shown_names(evaluation.labels)
    header = ["class", "support", "predicted", "precision", "recall", "f1"]
    _write_csv(folder / "per_class.csv", header, (
        [labels[index], int(scores.support[index]), int(scores.predicted[index]),
         *(_format(values[index]) for values in (scores.precision, scores.recall, scores.f1))]
        for index in evaluation.class_indices
    ))  # fmt: skip
    rows = ([labels[index], *evaluation.confusion[index].tolist()] for index in evaluation.class_indices)
    _write_csv(folder / "confusion.csv", ["class", *labels], rows)
    _write_text(folder / "report.html", evaluation_report(evaluation, comparison))


def write_multi_label_evaluation(evaluation: MultiLabelEvaluation, folder: Path) -> None:
    """Write metrics.json, per_label.csv and report.html into an existing folder."""
    _write_text(folder / METRICS_FILE, format_json(evaluation.to_dict()))
    header = ["label", "support", "average_precision", "f1", "threshold", "best_f1"]
    columns = (evaluation.average_precision, evaluation.f1, evaluation.thresholds, evaluation.best_f1)
    _write_csv(folder / "per_label.csv", header, (
        [label, support, *map(_format, values)]
        for label, support, *values in zip(shown_names(evaluation.labels), evaluation.support, *columns, strict=True)
    ))  # fmt: skip
    _write_text(folder / "report.html", multi_label_report(evaluation))


def _write_text(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="backslashreplace")


def _write_csv(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _format(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""
