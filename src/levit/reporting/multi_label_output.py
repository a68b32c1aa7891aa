"""A folder with everything that was found where images may show several classes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from levit.evaluation.multi_label import MultiLabelEvaluation
from levit.reporting.evaluation_output import duplicates_values, printable
from levit.reporting.multi_label_report import write_multi_label_report


def write_multi_label(one: MultiLabelEvaluation, folder: Path) -> None:
    """metrics.json, per_label.csv and report.html, in a folder that is there."""
    rows = zip(one.labels, one.support, one.average_precision, one.thresholds, one.f1, strict=True)
    with (folder / "per_label.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["label", "support", "average_precision", "threshold", "f1"])
        writer.writerows(rows)
    text = json.dumps(multi_label_metrics(one), indent=1, ensure_ascii=False)
    (folder / "metrics.json").write_text(printable(text) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(printable(write_multi_label_report(one)), encoding="utf-8")


def multi_label_metrics(one: MultiLabelEvaluation) -> dict[str, Any]:
    """The figures as plain JSON values; what is not defined is null."""

    def by_label(values: Iterable[float]) -> dict[str, float | None]:
        return {label: _defined(value) for label, value in zip(one.labels, values, strict=True)}

    return {
        "model": one.model,
        "engine": one.engine,
        "precision": one.precision,
        "data": {"name": one.data, "sha256": one.sha256, "classes": len(one.labels)},
        "images": {
            "found": one.found,
            "judged": one.judged,
            "bad": [asdict(bad) for bad in one.bad],
            "empty_classes": list(one.empty_classes),
            "duplicates": duplicates_values(one.duplicates),
        },
        "mean_average_precision": _defined(one.mean_average_precision),
        "mean_f1": _defined(one.mean_f1),
        "average_precision": by_label(one.average_precision),
        "thresholds": by_label(one.thresholds),
        "f1": by_label(one.f1),
        "support": dict(zip(one.labels, one.support, strict=True)),
        "images_per_second": one.images_per_second,
    }


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
