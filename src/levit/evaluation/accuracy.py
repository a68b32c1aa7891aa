"""How good is a model on labeled images, and how far are two models apart?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from levit.data.class_matching import match_classes
from levit.data.labeled_images import LabeledDataset
from levit.errors import DataError
from levit.runtime.classifier import Classifier
from levit.runtime.engine import Engine
from levit.spec.artifact import Accuracy

Logits = NDArray[np.float32]
Targets = NDArray[np.int64]


def compute_logits(engine: Engine, data: LabeledDataset) -> Logits:
    """Logits of labeled images, prepared as in prediction: float32 [images, classes].

    Args:
        engine: an opened model.
        data: what `levit.data.open_data.open_data` gives.

    Raises:
        ImageError: an image cannot be read.
        DataError: no image is left.
    """
    rows = []
    for prediction in Classifier(engine).stream(item.image for item in data):
        if prediction.error is not None:
            raise prediction.error
        rows.append(prediction.logits)
    if not rows:
        raise DataError(f"{data.name}: no image is left to judge: those that calibrate are no part of it")
    return np.stack(rows)


def read_targets(data: LabeledDataset, labels: tuple[str, ...]) -> Targets:
    """The model's index of each image's class, matched by name: int64 [images].

    Raises:
        DataError: the images have no labels, or the model has none of that name.
    """
    places = match_classes(data.classes, labels, data.name).class_indices
    found = []
    for item in data:
        if len(item.labels) != 1 or not 0 <= item.labels[0] < len(places):
            raise DataError(
                f"{data.name}: {item.name} has no label, or several: measuring accuracy needs images with one"
            )
        found.append(places[item.labels[0]])
    return np.array(found, np.int64)


def judge(engine: Engine, logits: Logits, targets: Targets, data: LabeledDataset) -> Accuracy:
    """Top-1 and top-5 in per cent.

    Args:
        engine: that computed the logits.
        logits: [images, classes].
        targets: [images].
        data: the images.
    """
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return Accuracy(
        top1=float(100 * np.mean(best[:, 0] == targets)),
        top5=float(100 * np.mean((best == targets[:, None]).any(axis=1))),
        images=len(targets),
        data=data.name,
        sha256=data.sha256(),
        engine=engine.name,
        precision=engine.precision,
    )


def agreement(logits: Logits, others: Logits) -> float:
    """How often two models give the same answer, in per cent."""
    return float(100 * np.mean(logits.argmax(axis=1) == others.argmax(axis=1)))
