"""How good is the embedded model, and how fast from the files' bytes to the labels? Measured through the runtime.

    python benchmarks/embedded_accuracy.py             measure, compare with what the file says of itself
    python benchmarks/embedded_accuracy.py --rebuild   export it anew from ../shared/data/starter in int8

The first 1,000 images calibrate, the other 9,000 judge. Needs ../shared/data (never part of the repository).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path

import levit
from levit.data.open_data import open_data
from levit.data.subsets import split_calibration
from levit.evaluation.accuracy import compute_logits, judge, read_targets
from levit.exporting.int8 import CALIBRATION_IMAGES
from levit.runtime.engine import Precision, open_engine
from levit.runtime.model_resolution import find_artifact
from levit.spec.artifact import Accuracy

ROOT = Path(__file__).parent.parent
STARTER = ROOT.parent / "shared" / "data" / "starter"
PARQUET = ROOT.parent / "shared" / "data" / "tiny-imagenet-val.parquet"
RESULT = Path(__file__).parent / "results" / "embedded_accuracy.json"
NAME = "levit-128s at 64 px, Tiny-ImageNet"
MAX_DROP = 0.5  # points


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
    drop = accuracies["fp32"].top1 - accuracies["embedded"].top1
    print(f"the embedded model loses {drop:.2f} points of top-1 to fp32 (allowed: {MAX_DROP})")
    return (
        0 if drop <= MAX_DROP and recorded is not None and abs(recorded.top1 - accuracies["embedded"].top1) < 0.1 else 1
    )


def rebuild(target: Path) -> None:
    """Export the starter weights into the package in int8."""
    checkpoint = levit.read_checkpoint(STARTER)
    named = dataclasses.replace(checkpoint, source=dataclasses.replace(checkpoint.source, name=NAME))
    report = levit.export(named, target, precision="int8", calibration=PARQUET, evaluation=PARQUET, max_drop=MAX_DROP)
    print(f"exported {report.num_bytes / 1e6:.1f} MB: {report.artifact.quantization}")


def measure(model: Path, precision: Precision) -> tuple[Accuracy, float]:
    """Accuracy on the images that do not calibrate, classes matched by name; and images a second from JPEG bytes."""
    _, data = split_calibration(open_data(PARQUET), CALIBRATION_IMAGES)
    engine = open_engine(model, precision=precision)
    targets = read_targets(data, levit.Classifier(engine).labels)
    compute_logits(engine, split_calibration(data, 64)[0])  # compiled before it is timed
    start = time.perf_counter()
    logits = compute_logits(engine, data)
    speed = len(targets) / (time.perf_counter() - start)
    accuracy = judge(engine, logits, targets, data)
    print(
        f"{model.name} in {accuracy.engine} {accuracy.precision}: {accuracy.top1:.2f} % top-1, "
        f"{accuracy.top5:.2f} % top-5 of {accuracy.images:,} images; {speed:.0f} images/s from JPEG bytes"
    )
    return accuracy, speed


if __name__ == "__main__":
    sys.exit(main())
