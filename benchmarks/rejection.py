"""How much of what it never saw does a model of CIFAR-10 call unknown? Calibrated on half of the test images.

python benchmarks/rejection.py RUN      a run on CIFAR-10, as of configs/cifar10.yaml; needs ../shared/data
"""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import islice
from pathlib import Path

import levit
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.data.subsets import split_calibration
from levit.evaluation.rejection import find_rejection
from levit.exporting.export import record_rejection

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "rejection.json"
CALIBRATING = 5000
WISHES: tuple[dict[str, float], ...] = ({"coverage": 0.95}, {"coverage": 0.8}, {"precision": 0.95})


def main() -> None:
    """Measure, print, record."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cifar10.onnx"
        levit.export(sys.argv[1], file)
        test = open_data(DATA / "cifar10-test.parquet")
        calibrating, others = split_calibration(test, CALIBRATING)
        for wish in WISHES:
            found = find_rejection(levit.Classifier(file), calibrating, **wish)  # type: ignore[arg-type]
            record_rejection(file, found)
            model = levit.Classifier(file)
            name = " ".join(f"{key} {value}" for key, value in wish.items())
            results[name] = {
                "threshold": round(found.threshold, 3),
                "CIFAR-10, the other half": unknown(model, list(others)),
                "photos of ImageNet": unknown(model, list(open_data(DATA / "photos"))),
                "Tiny-ImageNet": unknown(model, list(islice(open_data(DATA / "tiny-imagenet-val.parquet"), 5000))),
            }
            print(name, json.dumps(results[name]))
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def unknown(model: levit.Classifier, items: list[LabeledImage]) -> dict[str, float]:
    """In per cent: what is unknown, and what of the rest is right, where that is known."""
    predictions = list(model.stream([item.image for item in items]))
    answered = [pair for pair in zip(predictions, items, strict=True) if not pair[0].is_unknown]
    found = {"unknown": round(100 * (1 - len(answered) / len(items)), 1)}
    if len(model.labels) > max((label for item in items for label in item.labels), default=len(model.labels)):
        right = sum(prediction.top(1)[0].index in item.labels for prediction, item in answered)
        found["right of the answers"] = round(100 * right / len(answered), 1)
    return found


if __name__ == "__main__":
    main()
