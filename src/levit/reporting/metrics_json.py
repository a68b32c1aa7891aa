"""Metrics of an evaluation as JSON values, the contents of metrics.json: fractions in [0, 1], null if undefined."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from math import isfinite
from typing import Any

from levit.data.duplicates import Duplicates
from levit.data.imagenet_names import distinct_names
from levit.evaluation.comparison import Comparison
from levit.evaluation.labeled_predictions import BadImage
from levit.evaluation.multi_label import MultiLabelEvaluation
from levit.evaluation.single_label_pass import Evaluation


def evaluation_metrics(evaluation: Evaluation, comparison: Comparison | None = None) -> dict[str, Any]:
    """Metrics of an evaluation with one label per image, and of the comparison with a second model."""
    recall, precision, f1 = evaluation.per_class.means(evaluation.class_indices)
    return {
        **({"comparison": _comparison(comparison)} if comparison is not None else {}),
        "model": evaluation.model,
        "engine": evaluation.engine,
        "precision": evaluation.precision,
        "data_classes_only": evaluation.data_classes_only,
        "data": {
            "name": evaluation.data,
            "sha256": evaluation.sha256,
            "classes": len(evaluation.class_indices),
            "matched": dict(evaluation.matched),
        },
        "images": {
            "total": evaluation.num_images,
            "excluded": evaluation.num_excluded,
            "evaluated": evaluation.num_evaluated,
            "unlabeled": evaluation.num_unlabeled,
            **_data_problems(evaluation.bad_images, evaluation.empty_classes, evaluation.duplicates),
        },
        "top1": asdict(evaluation.top1),
        "top5": asdict(evaluation.top5),
        "mean_recall": recall,
        "mean_precision": precision,
        "mean_f1": f1,
        "calibration_error": evaluation.calibration.error,
        "images_per_second": evaluation.images_per_second,
    }


def multi_label_metrics(evaluation: MultiLabelEvaluation) -> dict[str, Any]:
    """Metrics of an evaluation with any number of labels per image."""
    labels = distinct_names(evaluation.labels)

    def by_label(values: Iterable[float]) -> dict[str, float | None]:
        return {label: _defined(value) for label, value in zip(labels, values, strict=True)}

    return {
        "model": evaluation.model,
        "engine": evaluation.engine,
        "precision": evaluation.precision,
        "data": {"name": evaluation.data, "sha256": evaluation.sha256, "classes": len(evaluation.labels)},
        "images": {
            "total": evaluation.num_images,
            "excluded": evaluation.num_excluded,
            "evaluated": evaluation.num_evaluated,
            **_data_problems(evaluation.bad_images, evaluation.empty_classes, evaluation.duplicates),
        },
        "mean_average_precision": _defined(evaluation.mean_average_precision),
        "mean_f1": _defined(evaluation.mean_f1),
        "average_precision": by_label(evaluation.average_precision),
        "thresholds": by_label(evaluation.thresholds),
        "f1": by_label(evaluation.f1),
        "support": dict(zip(labels, evaluation.support, strict=True)),
        "images_per_second": evaluation.images_per_second,
    }


def format_json(values: dict[str, Any]) -> str:
    """Text of a metrics file, encodable in UTF-8."""
    return escape_surrogates(json.dumps(values, indent=1, ensure_ascii=False)) + "\n"


def escape_surrogates(text: str) -> str:
    """Escape the surrogates that Python has for bytes of file names that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def _data_problems(
    bad_images: tuple[BadImage, ...], empty_classes: tuple[str, ...], duplicates: Duplicates | None
) -> dict[str, Any]:
    return {
        "bad": [asdict(bad) for bad in bad_images],
        "empty_classes": list(empty_classes),
        "duplicates": None if duplicates is None else _duplicates(duplicates),
    }


def _duplicates(duplicates: Duplicates) -> dict[str, Any]:
    return {
        "within": duplicates.num_within,
        "across": duplicates.num_across,
        "compared_splits": list(duplicates.compared_splits),
        "skipped_splits": dict(duplicates.skipped_splits),
        "examples": [{"name": name, "duplicate_of": other} for name, other in duplicates.examples],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    second = comparison.second
    return {
        "model": second.model,
        "engine": second.engine,
        "precision": second.precision,
        "top1": asdict(second.top1),
        "gain": asdict(comparison.gain),
        "agreement": asdict(comparison.agreement),
        "images": {
            "both_correct": comparison.num_both_correct,
            "only_first": comparison.num_only_first,
            "only_second": comparison.num_only_second,
            "neither": comparison.num_neither,
        },
    }


def _defined(value: float) -> float | None:
    return value if isfinite(value) else None
