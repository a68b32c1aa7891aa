"""Metrics of an evaluation as JSON values, the contents of metrics.json: fractions in [0, 1], null if undefined."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from levit.evaluation.comparison import Comparison
from levit.evaluation.single_label_pass import Evaluation


def evaluation_metrics(evaluation: Evaluation, comparison: Comparison | None = None) -> dict[str, Any]:
    """Metrics of an evaluation with one label per image, and of the comparison with a second model."""
    return ({} if comparison is None else {"comparison": _comparison(comparison)}) | evaluation.to_dict()


def format_json(values: dict[str, Any]) -> str:
    """Text of a metrics file, encodable in UTF-8."""
    return escape_surrogates(json.dumps(values, indent=1, ensure_ascii=False)) + "\n"


def escape_surrogates(text: str) -> str:
    """Escape the surrogates that Python has for bytes of file names that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()


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
