"""Accuracy and throughput of the embedded model and of its training weights, from encoded images to labels.

    python benchmarks/embedded_accuracy.py [--record]      measure, and compare with the accuracy recorded in the file
    python benchmarks/embedded_accuracy.py --rebuild RUN   embed the weights of a run of configs/embedded.yaml first
    python benchmarks/embedded_accuracy.py --photos DIR    measure on sharp photos, too: a clone of
                                                           https://github.com/EliSchwartz/imagenet-sample-images

Needs ../shared/data (never part of the repository): photos-val.parquet chose the recipe, the epoch and the threshold;
tiny-imagenet-val.parquet, with 200 of the 293 classes, chose nothing, and is also evaluated among its own classes only.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

import levit
from levit.checkpoints.weight_lookup import EMBEDDED_WEIGHTS, find_weights
from levit.data.labeled_images import LabeledDataset
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.runtime.model_resolution import find_artifact
from levit.spec.choices import Precision
from recording import add_record_option, result_file, write_json

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
TRAINING = DATA / "photos-train.parquet"
VALIDATION = DATA / "photos-val.parquet"
TEST = DATA / "tiny-imagenet-val.parquet"
IMAGE_SIZE = (112, 112)  # where the network, which is trained at 96 pixels, is more accurate
NAME = "levit-128s at 112 px, 293 classes of ImageNet"
CONFIGURATION = ("config.json", "preprocessor_config.json")
MAX_DROP = 0.5  # percentage points of top-1
KEPT = 0.9  # fraction of the right predictions that are not turned into "unknown"
QUANTIZATION_IMAGES = 1000
EVALUATIONS = {
    "validation": (VALIDATION, False),
    "test, 293 classes": (TEST, False),
    "test, 200 classes": (TEST, True),
}


def main() -> int:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rebuild", type=Path, metavar="RUN")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photos named by WordNet id and class")
    add_record_option(parser)
    arguments = parser.parse_args()
    if not DATA.exists():
        print(f"{DATA} is missing: this measurement needs the shared data", file=sys.stderr)
        return 2
    embedded = find_artifact(None)
    if not isinstance(embedded, Path):
        raise TypeError("the embedded model is a file")
    if arguments.rebuild is not None:
        write_training_weights(arguments.rebuild, find_weights(EMBEDDED_WEIGHTS).parent)
        write_artifact(embedded)
    with tempfile.TemporaryDirectory() as folder:
        evaluations = dict(EVALUATIONS)
        if arguments.photos is not None:
            evaluations["photos"] = (link_photos(arguments.photos, Path(folder, "photos")), False)
        single = Path(folder) / "single.onnx"
        levit.export(EMBEDDED_WEIGHTS, single, image_size=IMAGE_SIZE)
        models: dict[str, tuple[Path, Precision]] = {
            "fp32": (single, "fp32"),
            "bf16": (single, "bf16"),
            "embedded": (embedded, "auto"),
        }
        if (
            levit.Classifier(single, precision="bf16").engine.precision != "bf16"
        ):  # a processor without its instructions
            del models["bf16"]
        measured = {name: measure(name, *model, evaluations) for name, model in models.items()}
    write_json(result_file("embedded_accuracy.json", is_recorded=arguments.record), measured)
    recorded = levit.Classifier().artifact.accuracy
    top1 = {name: values["validation"]["top1"] for name, values in measured.items()}
    drop = 100 * (top1["fp32"] - top1["embedded"])
    print(f"recorded in the file: {recorded}")
    print(f"the embedded model loses {drop:.2f} points of top-1 to fp32 (allowed: {MAX_DROP})")
    is_as_recorded = recorded is not None and abs(recorded.top1 - top1["embedded"]) < 0.005
    return 0 if drop <= MAX_DROP and is_as_recorded else 1


def write_training_weights(run: Path, folder: Path) -> None:
    """Copy the weights of a run into the package, in half precision."""
    tensors = {name: _half(tensor) for name, tensor in load_file(run / "model.safetensors").items()}
    # Not by safetensors' save_file, which makes the file readable by its owner only.
    (folder / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    for name in CONFIGURATION:
        shutil.copyfile(run / name, folder / name)


def _half(tensor: NDArray[Any]) -> NDArray[Any]:
    return tensor.astype(np.float16) if tensor.dtype == np.float32 else tensor


def write_artifact(target: Path) -> None:
    """Export the training weights into the package in int8, and calibrate their scores."""
    checkpoint = resize_checkpoint(levit.read_checkpoint(EMBEDDED_WEIGHTS), IMAGE_SIZE)
    named = dataclasses.replace(checkpoint, source=dataclasses.replace(checkpoint.source, name=NAME))
    with quantization_images() as images:
        report = levit.export(
            named, target, weights="int8", quantization_data=images, evaluation=VALIDATION, max_drop=MAX_DROP
        )
    print(f"exported {report.num_bytes / 1e6:.1f} MB: {report.artifact.quantization}")
    coverage = coverage_of_right_predictions(target)
    rejection = levit.calibrate(target, VALIDATION, coverage=coverage)
    print(f"threshold for {KEPT:.0%} of the right predictions, {coverage:.1%} of all: {rejection}")


@contextmanager
def quantization_images() -> Iterator[Path]:
    """A folder with the first labeled training images."""
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder, TRAINING.stem)  # the metadata contain this name
        images.mkdir()
        data: LabeledDataset = levit.open_data(TRAINING)
        labeled = (item for item in data if item.labels)
        for number, item in enumerate(islice(labeled, QUANTIZATION_IMAGES)):
            assert isinstance(item.image, bytes)  # of a parquet file
            (images / f"{number:04}.webp").write_bytes(item.image)
        yield images


def coverage_of_right_predictions(model: Path) -> float:
    """Fraction of the validation images whose score is at least that of `KEPT` of the right predictions."""
    scores: list[tuple[float, bool]] = []
    levit.evaluate(
        levit.Classifier(model), VALIDATION,
        on_prediction=lambda _, prediction, target: scores.append(
            (prediction.top(1)[0].score, prediction.top(1)[0].index == target)
        ),
    )  # fmt: skip
    values, is_right = np.array([score for score, _ in scores]), np.array([right for _, right in scores])
    return float((values >= np.quantile(values[is_right], 1 - KEPT)).mean())


def link_photos(source: Path, target: Path) -> Path:
    """A folder with the photos of the embedded model's classes, one folder for each class, as links."""
    classes = levit.open_data(VALIDATION).classes
    for photo in sorted(source.glob("n????????_*.JPEG")):
        if (name := photo.name.partition("_")[0]) in classes:
            (target / name).mkdir(parents=True, exist_ok=True)
            (target / name / photo.name).symlink_to(photo.resolve())
    return target


def measure(
    name: str, model: Path, precision: Precision, evaluations: dict[str, tuple[Path, bool]]
) -> dict[str, dict[str, float]]:
    """Accuracy, and images per second from encoded image to label."""
    classifier = levit.Classifier(model, precision=precision)
    values = {}
    for title, (data, data_classes_only) in evaluations.items():
        evaluation = levit.evaluate(classifier, data, data_classes_only=data_classes_only)
        top1, top5, images = evaluation.top1.value, evaluation.top5.value, evaluation.num_evaluated
        speed = round(evaluation.images_per_second or 0)
        print(
            f"{name} in {evaluation.engine} {evaluation.precision}, {title}: {top1:.2%} top-1, {top5:.2%} top-5 of "
            f"{images:,} images; {speed} images/s",
            flush=True,
        )
        values[title] = {"top1": top1, "top5": top5, "images": images, "per second": speed}
    return values


if __name__ == "__main__":
    sys.exit(main())
