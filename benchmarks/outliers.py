"""Images that a model rejects as "unknown": of kinds that it has no class for, and of its validation images.

    python benchmarks/outliers.py DATA/test [--record]     a folder for each kind, by configs/collect_outliers.py

Needs ../shared/data/photos-val.parquet, the images by which the threshold was chosen. Writes outliers.json.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

import levit
from recording import add_record_option, result_file, write_json

VALIDATION = Path(__file__).parent.parent.parent / "shared" / "data" / "photos-val.parquet"


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_record_option(parser)
    arguments = parser.parse_args()
    model = levit.Classifier()
    results: dict[str, dict[str, float]] = {"validation": measure_validation(model)}
    print(f"validation: {results['validation']}")
    for folder in sorted(path for path in arguments.data.iterdir() if path.is_dir()):
        predictions = [item for item in model.stream(sorted(folder.iterdir())) if item.error is None]
        unknown = sum(item.is_unknown for item in predictions)
        results[folder.name] = {"images": len(predictions), "unknown": round(unknown / len(predictions), 3)}
        labels = Counter(item.top(1)[0].name for item in predictions if not item.is_unknown)
        print(f"{folder.name}: {results[folder.name]}, most frequent labels: {labels.most_common(3)}")
    write_json(result_file("outliers.json", is_recorded=arguments.record), results)


def measure_validation(model: levit.Classifier) -> dict[str, float]:
    """Fractions of the validation images, and of the right and wrong predictions among them, that are unknown."""
    outcomes: list[tuple[bool, bool]] = []
    levit.evaluate(
        model, VALIDATION,
        on_prediction=lambda _, item, target: outcomes.append((item.top(1)[0].index == target, item.is_unknown)),
    )  # fmt: skip
    is_right, is_unknown = np.array(outcomes).T
    return {
        "images": len(outcomes), "unknown": round(float(is_unknown.mean()), 3),
        "unknown of the right": round(float(is_unknown[is_right].mean()), 3),
        "unknown of the wrong": round(float(is_unknown[~is_right].mean()), 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
