"""A folder with everything that an evaluation found: for scripts, for spreadsheets, for people."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import uuid4

from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledImage
from levit.errors import DataError
from levit.evaluation.comparison import Answers, Comparer, Comparison
from levit.evaluation.evaluator import Evaluation, OnPrediction
from levit.reporting.evaluation_report import write_report
from levit.runtime.prediction import Prediction

_FIGURES = "metrics.json"
_FILES = ("report.html", "predictions.parquet", "per_class.csv", "per_label.csv", "confusion.csv")
_ROWS = 4096  # of predictions that are written at once
_BEST = 5


def judge_and_write(
    judge: Callable[[str, OnPrediction], Evaluation], model: str, other: str | None, out: Path | None
) -> tuple[Evaluation, Comparison | None]:
    """Judge a model, compare it with another one, and write what was found into a folder.

    Args:
        judge: judges the model of a name, and tells of every judged image.
        model: its name.
        other: the model to compare it with, if any.
        out: the folder, if any.
    """
    answers, comparison = Answers(), None
    with ExitStack() as stack:
        folder = stack.enter_context(evaluation_folder(out)) if out is not None else None

        def tell(item: LabeledImage, prediction: Prediction, truth: int) -> None:
            answers.add(item, prediction, truth)
            if folder is not None:
                folder.add(item, prediction, truth)

        evaluation = judge(model, tell)
        if other is not None:
            comparer = Comparer(answers)
            comparison = comparer.finish(evaluation, judge(other, comparer.add))
        if folder is not None:
            folder.finish(evaluation, comparison)
    return evaluation, comparison


@contextmanager
def evaluation_folder(folder: Path) -> Iterator[EvaluationFolder]:
    """A folder of an evaluation, which gets its name when it is complete.

    Raises:
        DataError: there is something else under this name, or it cannot be written.
        ImportError: pyarrow is not installed.
    """
    with replaced_folder(folder) as temporary, EvaluationFolder(temporary) as written:
        yield written


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that gets its name when it is complete; an earlier evaluation of this name is replaced.

    Raises:
        DataError: there is something else under this name, or it cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and _is_ours(folder)):
        raise DataError(f"{folder}: there is something else: give a new folder, or one of an earlier evaluation")
    # Inside of what is there, which may be a mount point, a link or the current folder; or else beside it.
    is_new, name = not folder.exists(), f".{folder.name}.{uuid4().hex[:8]}"
    temporary = folder.with_name(name) if is_new else folder / name
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        yield temporary
        if is_new:
            temporary.rename(folder)
        else:
            _replace_files(folder, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether there is an earlier evaluation in a folder, or nothing but hidden files."""
    return (folder / _FIGURES).exists() or all(path.name.startswith(".") for path in folder.iterdir())


def _replace_files(folder: Path, complete: Path) -> None:
    """An earlier evaluation by a complete one, its figures last."""
    for name in {*_FILES} - {path.name for path in complete.iterdir()}:
        (folder / name).unlink(missing_ok=True)
    for path in sorted(complete.iterdir(), key=lambda path: path.name == _FIGURES):
        path.replace(folder / path.name)


class EvaluationFolder:
    """Predictions as they come, and the rest at the end."""

    def __init__(self, folder: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError('writing predictions needs pyarrow: pip install "levit[evaluation]"') from error
        self._folder, self._arrow = folder, pyarrow
        best = [(f"{what}{rank}", kind) for rank in range(1, _BEST + 1)
                for what, kind in (("answer", pyarrow.string()), ("score", pyarrow.float32()))]  # fmt: skip
        self._schema = pyarrow.schema([("image", pyarrow.string()), ("label", pyarrow.string()), *best])
        self._writer = pyarrow.parquet.ParquetWriter(folder / "predictions.parquet", self._schema)
        self._rows: list[dict[str, Any]] = []

    def add(self, item: LabeledImage, prediction: Prediction, truth: int) -> None:
        """One judged image."""
        row: dict[str, Any] = {"image": printable(item.name), "label": prediction.labels[truth]}
        for rank, label in enumerate(prediction.top(_BEST), start=1):
            row |= {f"answer{rank}": label.name, f"score{rank}": label.score}
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._flush()

    def finish(self, evaluation: Evaluation, comparison: Comparison | None = None) -> None:
        """metrics.json, per_class.csv, confusion.csv, report.html."""
        text = json.dumps(metrics(evaluation, comparison), indent=1, ensure_ascii=False)
        (self._folder / _FIGURES).write_text(printable(text) + "\n", encoding="utf-8")
        scores, present = evaluation.per_class, evaluation.classes
        self._write_csv("per_class.csv", ["class", "support", "answers", "precision", "recall", "f1"], (
            [evaluation.labels[index], int(scores.support[index]), int(scores.answers[index]),
             *(_number(values[index]) for values in (scores.precision, scores.recall, scores.f1))]
            for index in present
        ))  # fmt: skip
        self._write_csv("confusion.csv", ["class", *evaluation.labels], (
            [evaluation.labels[index], *evaluation.tally.confusion[index].tolist()] for index in present
        ))  # fmt: skip
        page = write_report(evaluation, comparison)
        (self._folder / "report.html").write_text(printable(page), encoding="utf-8")

    def __enter__(self) -> EvaluationFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def _write_csv(self, name: str, header: list[str], rows: Iterator[list[Any]]) -> None:
        with (self._folder / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


def metrics(evaluation: Evaluation, comparison: Comparison | None = None) -> dict[str, Any]:
    """The figures as plain JSON values."""
    one = evaluation
    recall, precision, f1 = one.per_class.means(one.classes)
    return {
        **({"compared": _compared(comparison)} if comparison is not None else {}),
        "model": one.model,
        "engine": one.engine,
        "precision": one.precision,
        "data": {"name": one.data, "sha256": one.sha256, "classes": len(one.classes), "matched": dict(one.matched)},
        "images": {
            "found": one.found,
            "judged": one.judged,
            "unlabeled": one.unlabeled,
            "bad": [asdict(bad) for bad in one.bad],
            "empty_classes": list(one.empty_classes),
            "duplicates": duplicates_values(one.duplicates),
        },
        "top1": asdict(one.top1),
        "top5": asdict(one.top5),
        "mean_recall": recall,
        "mean_precision": precision,
        "mean_f1": f1,
        "calibration_error": one.calibration.error,
        "images_per_second": one.images_per_second,
    }


def duplicates_values(found: Duplicates | None) -> dict[str, Any] | None:
    """Images that are there twice as plain JSON values; null where nobody looked for them."""
    if found is None:
        return None
    return {
        "within": found.num_within,
        "elsewhere": found.num_across,
        "compared": list(found.compared_splits),
        "left_out": dict(found.skipped_splits),
        "named": [{"name": name, "also": other} for name, other in found.examples],
    }


def _compared(both: Comparison) -> dict[str, Any]:
    return {
        "model": both.second.model,
        "engine": both.second.engine,
        "precision": both.second.precision,
        "top1": asdict(both.second.top1),
        "gain": asdict(both.gain),
        "agreement": asdict(both.agreement),
        "images": {
            "both_right": both.both_right,
            "only_first": both.only_first,
            "only_second": both.only_second,
            "neither": both.neither,
        },
    }


def printable(text: str) -> str:
    """A text in which names of files that are not UTF-8 are told apart, and can be written."""
    return text.encode(errors="backslashreplace").decode()


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"
