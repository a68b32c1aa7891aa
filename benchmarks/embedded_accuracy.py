"""Accuracy and throughput of the embedded model, from encoded images to labels.

    python benchmarks/embedded_accuracy.py             measure, and compare with the accuracy recorded in the file
    python benchmarks/embedded_accuracy.py --rebuild   export it again from ../shared/data/starter in int8

The first 1,000 images are the calibration set, the other 9,000 the evaluation set. Needs ../shared/data
(never part of the repository).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import levit
from levit.data.open_data import open_data
from levit.data.subsets import split_calibration
from levit.evaluation.evaluator import evaluate
from levit.exporting.int8 import CALIBRATION_IMAGES
from levit.runtime.engine import Precision, open_engine
from levit.runtime.model_resolution import find_artifact
from levit.spec.artifact import Accuracy

ROOT = Path(__file__).parent.parent
STARTER = ROOT.parent / "shared" / "data" / "starter"
PARQUET = ROOT.parent / "shared" / "data" / "tiny-imagenet-val.parquet"
RESULT = Path(__file__).parent / "results" / "embedded_accuracy.json"
NAME = "levit-128s at 64 px, Tiny-ImageNet"
MAX_DROP = 0.5  # percentage points of top-1


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rebuild", action="store_true")
    arguments = parser.parse_args()
    if not PARQUET.exists():
        print(f"{PARQUET} is missing: this measurement needs the shared data", file=sys.stderr)
        return 2
    embedded = find_artifact(None)
    if not isinstance(embedded, Path):
        raise TypeError("the embedded model is a file")
    if arguments.rebuild:
        rebuild(embedded)
    with tempfile.TemporaryDirectory() as folder:
        single = Path(folder) / "single.onnx"
        levit.export(STARTER, single)
        measured = {
            "fp32": measure(single, "fp32"),
            "bf16": measure(single, "bf16"),
            "embedded": measure(embedded, "auto"),
        }
    RESULT.write_text(json.dumps(measured, indent=1, default=dataclasses.asdict) + "\n", encoding="utf-8")
    accuracies = {name: accuracy for name, (accuracy, _) in measured.items()}
    recorded = levit.Classifier().artifact.accuracy
    print(f"recorded in the file: {recorded}")
    drop = 100 * (accuracies["fp32"].top1 - accuracies["embedded"].top1)
    print(f"the embedded model loses {drop:.2f} points of top-1 to fp32 (allowed: {MAX_DROP})")
    is_as_recorded = recorded is not None and abs(recorded.top1 - accuracies["embedded"].top1) < 0.001
    return 0 if drop <= MAX_DROP and is_as_recorded else 1


def rebuild(target: Path) -> None:
    """Export the starter weights into the package in int8."""
    checkpoint = levit.read_checkpoint(STARTER)
    named = dataclasses.replace(checkpoint, source=dataclasses.replace(checkpoint.source, name=NAME))
    report = levit.export(
        named, target, weights="int8", quantization_data=PARQUET, evaluation=PARQUET, max_drop=MAX_DROP
    )
    print(f"exported {report.num_bytes / 1e6:.1f} MB: {report.artifact.quantization}")


def measure(model: Path, precision: Precision) -> tuple[Accuracy, float]:
    """Accuracy on the images outside the calibration set, and images per second from encoded image to label."""
    _, data = split_calibration(open_data(PARQUET), CALIBRATION_IMAGES)
    classifier = levit.Classifier(open_engine(model, precision=precision))
    evaluate(classifier, split_calibration(data, 64)[0])  # compiles the model before the measurement
    evaluation = evaluate(classifier, data)
    accuracy = evaluation.accuracy
    print(
        f"{model.name} in {accuracy.engine} {accuracy.precision}: {100 * accuracy.top1:.2f} % top-1, "
        f"{100 * accuracy.top5:.2f} % top-5 of {accuracy.images:,} images; "
        f"{evaluation.images_per_second:.0f} images/s from JPEG bytes"
    )
    return accuracy, evaluation.images_per_second


if __name__ == "__main__":
    sys.exit(main())
