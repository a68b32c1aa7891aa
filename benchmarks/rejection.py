"""Rejection of unknown images by a model of CIFAR-10 that is calibrated on half of the test images.

    python benchmarks/rejection.py RUN [--record]      a run on CIFAR-10, as of configs/cifar10.yaml

Needs ../shared/data. Writes rejection.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from itertools import islice
from pathlib import Path

import levit
from levit.data.labeled_images import LabeledImage
from levit.data.open_data import open_data
from levit.data.subsets import split_quantization_images
from levit.evaluation.rejection import find_rejection
from levit.exporting.artifact_files import record_rejection
from recording import add_record_option, result_file, write_json

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
CALIBRATION_IMAGES = 5000
REQUESTS: tuple[dict[str, float], ...] = ({"coverage": 0.95}, {"coverage": 0.8}, {"target_precision": 0.95})


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    add_record_option(parser)
    arguments = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cifar10.onnx"
        levit.export(arguments.run, file)
        test = open_data(DATA / "cifar10-test.parquet")
        calibration_set, remaining = split_quantization_images(test, CALIBRATION_IMAGES)
        for request in REQUESTS:
            rejection = find_rejection(levit.Classifier(file), calibration_set, **request)  # type: ignore[arg-type]
            record_rejection(file, rejection)
            model = levit.Classifier(file)
            name = " ".join(f"{key.removeprefix('target_')} {value}" for key, value in request.items())
            results[name] = {
                "threshold": round(rejection.threshold, 3),
                "CIFAR-10, other half": measure(model, list(remaining)),
                "photos of ImageNet": measure(model, list(open_data(DATA / "photos"))),
                "Tiny-ImageNet": measure(model, list(islice(open_data(DATA / "tiny-imagenet-val.parquet"), 5000))),
            }
            print(name, json.dumps(results[name]))
    write_json(result_file("rejection.json", is_recorded=arguments.record), results)


def measure(model: levit.Classifier, items: list[LabeledImage]) -> dict[str, float]:
    """Fraction of the images that are rejected, and precision on the accepted images if the model has their classes."""
    predictions = list(model.stream([item.image for item in items]))
    accepted = [pair for pair in zip(predictions, items, strict=True) if not pair[0].is_unknown]
    result = {"unknown": round(1 - len(accepted) / len(items), 3)}
    if len(model.labels) > max((label for item in items for label in item.labels), default=len(model.labels)):
        num_correct = sum(prediction.top(1)[0].index in item.labels for prediction, item in accepted)
        result["precision"] = round(num_correct / len(accepted), 3)
    return result


if __name__ == "__main__":
    main()
