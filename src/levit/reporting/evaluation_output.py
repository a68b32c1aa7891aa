"""Files of an evaluation: metrics.json, CSV tables, predictions and the report, for one or several labels per image."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from levit.evaluation.multi_label import MultiLabelEvaluation
from levit.evaluation.shown_names import shown_names
from levit.evaluation.single_label_pass import Evaluation, OnPrediction, call_all
from levit.reporting.evaluation_report import evaluation_report
from levit.reporting.metrics_json import format_json
from levit.reporting.mistakes_table import MISTAKES_FILE, MistakesTable
from levit.reporting.multi_label_report import multi_label_report
from levit.reporting.output_folder import METRICS_FILE, output_folder
from levit.reporting.predictions_table import PredictionsTable


@contextmanager
def evaluation_folder(out: Path) -> Iterator[tuple[Path, OnPrediction]]:
    """Create or replace the output folder of an evaluation with one label per image, at the end of the context.

    Args:
        out: the folder, as for `output_folder`.

    Yields:
        The temporary folder, and a callback that adds an image to the tables of predictions and of mistakes.

    Raises:
        DataError: the folder has other contents, or cannot be written.
        ImportError: pyarrow is not installed.
    """
    with (
        output_folder(out) as folder,
        PredictionsTable(folder / "predictions.parquet") as predictions,
        MistakesTable(folder / MISTAKES_FILE) as mistakes,
    ):
        yield folder, call_all(predictions.add, mistakes.add)


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write metrics.json, per_class.csv, confusion.csv and report.html into an existing folder."""
    _write_text(folder / METRICS_FILE, format_json(evaluation.to_dict()))
    scores, labels = evaluation.per_class, shown_names(evaluation.labels)
    header = ["class", "support", "predicted", "precision", "recall", "f1"]
    _write_csv(folder / "per_class.csv", header, (
        [labels[index], int(scores.support[index]), int(scores.predicted[index]),
         *(_format(values[index]) for values in (scores.precision, scores.recall, scores.f1))]
        for index in evaluation.class_indices
    ))  # fmt: skip
    rows = ([labels[index], *evaluation.confusion[index].tolist()] for index in evaluation.class_indices)
    _write_csv(folder / "confusion.csv", ["class", *labels], rows)
    _write_text(folder / "report.html", evaluation_report(evaluation))


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
