"""How good a model is where an image may show any number of classes: average precision, and thresholds."""

from __future__ import annotations

import csv
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.data.labelled import LabelledImage, LabelledImages
from levit.data.matching import match_classes
from levit.errors import DataError
from levit.evaluation.folder import replaced_folder
from levit.evaluation.tally import BadImage
from levit.images.reading import ImageSource
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.prediction import Prediction

Scores = NDArray[np.float32]
Truth = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MultiLabelEvaluation:
    """What was measured. `found` = `judged` + the number of `bad`.

    Attributes:
        model: its name.
        engine, precision: what computed it, and in what.
        data: name of the images, and `sha256` their hash.
        labels: of the model, those that the data has.
        found: images in the data.
        judged: those that were classified; one without labels shows none of the classes.
        bad: those that could not be used, and why.
        mean_average_precision: of the labels that occur.
        average_precision: of each label: the mean precision at every image that shows it; NaN where none does.
        thresholds: for each label the score from which on to answer it, so that F1 is highest.
        f1: of each label at its threshold; it flatters, because the same images chose the threshold.
        support: images that show each label.
        images_per_second: from the files to the labels.
    """

    model: str
    engine: str
    precision: str
    data: str
    sha256: str
    labels: tuple[str, ...] = field(repr=False)
    found: int
    judged: int
    bad: tuple[BadImage, ...]
    mean_average_precision: float
    average_precision: tuple[float, ...] = field(repr=False)
    thresholds: tuple[float, ...] = field(repr=False)
    f1: tuple[float, ...] = field(repr=False)
    support: tuple[int, ...] = field(repr=False)
    images_per_second: float


def evaluate_multi_label(
    classifier: Classifier,
    data: LabelledImages,
    *,
    class_map: Mapping[str, str] | None = None,
    fails: bool = False,
    batch_size: int = DEFAULT_BATCH_SIZE,
    watch: Callable[[Iterator[Prediction]], Iterator[Prediction]] = lambda predictions: predictions,
) -> MultiLabelEvaluation:
    """Judge a model whose logits say of each label by itself whether it is there (their sigmoid is its score).

    All scores are kept: four bytes for each image and label.

    Args:
        classifier: the model.
        data: images with any number of labels.
        class_map: for some classes of the data, the label of the model that is meant.
        fails: whether to stop at an image that cannot be used, instead of counting it.
        batch_size: how many images to compute at once.
        watch: what the predictions pass through, to show progress.

    Raises:
        DataError: no image could be judged, or a class is not the model's.
        ImageError: with `fails`, an image cannot be read.
    """
    places = match_classes(data.classes, classifier.labels, data.name, class_map).places
    given: deque[LabelledImage] = deque()
    rows: list[Scores] = []
    truths: list[tuple[int, ...]] = []
    bad: list[BadImage] = []

    def sources() -> Iterator[ImageSource]:
        for item in data:
            given.append(item)
            yield item.image

    start = time.perf_counter()
    for prediction in watch(classifier.stream(sources(), batch_size=batch_size)):
        item = given.popleft()
        strange = [label for label in item.labels if not 0 <= label < len(places)]
        if prediction.error is None and not strange:
            rows.append(_sigmoid(prediction.logits[list(places)]))
            truths.append(item.labels)
            continue
        reason = f"label {strange[0]} is none of {len(places)} classes" if strange else str(prediction.error)
        if fails:
            raise prediction.error or DataError(f"{data.name}: {item.name}: {reason}")
        bad.append(BadImage(item.name, reason.removeprefix(f"{prediction.source}: ")))
    if not rows:
        raise DataError(f"{data.name}: none of its images could be judged")
    rate, scores = len(rows) / (time.perf_counter() - start), np.stack(rows)
    truth = np.zeros(scores.shape, np.bool_)
    for row, labels in enumerate(truths):
        truth[row, list(labels)] = True
    precisions = [average_precision(scores[:, label], truth[:, label]) for label in range(len(places))]
    best = [best_threshold(scores[:, label], truth[:, label]) for label in range(len(places))]
    return MultiLabelEvaluation(
        model=classifier.artifact.source.name,
        engine=classifier.engine.name,
        precision=classifier.engine.precision,
        data=data.name,
        sha256=data.sha256(),
        labels=tuple(classifier.labels[place] for place in places),
        found=len(rows) + len(bad),
        judged=len(rows),
        bad=tuple(bad),
        mean_average_precision=float(np.nanmean(precisions)) if truth.any() else float("nan"),
        average_precision=tuple(precisions),
        thresholds=tuple(threshold for threshold, _ in best),
        f1=tuple(f1 for _, f1 in best),
        support=tuple(int(count) for count in truth.sum(axis=0)),
        images_per_second=rate,
    )


def average_precision(scores: Scores, truth: Truth) -> float:
    """The area under precision over recall, in steps, as scikit-learn defines it; NaN where nothing is to be found.

    Examples:
        >>> average_precision(np.float32([0.9, 0.8, 0.1]), np.array([True, False, True]))
        0.83...
    """
    right, answered = _by_threshold(scores, truth)[1:]
    if not right[-1]:
        return float("nan")
    return float(np.sum(np.diff(right, prepend=0) / right[-1] * right / answered))


def best_threshold(scores: Scores, truth: Truth) -> tuple[float, float]:
    """The score from which on to answer, so that F1 is highest, and that F1; infinity where nothing is to be found.

    Examples:
        >>> best_threshold(np.float32([0.75, 0.5, 0.25]), np.array([True, True, False]))
        (0.5, 1.0)
    """
    thresholds, right, answered = _by_threshold(scores, truth)
    if not right[-1]:
        return float("inf"), float("nan")
    f1 = 2 * right / (answered + right[-1])
    place = int(np.argmax(f1))
    return float(thresholds[place]), float(f1[place])


def write_multi_label(one: MultiLabelEvaluation, folder: Path) -> None:
    """metrics.json and per_label.csv."""
    rows = zip(one.labels, one.support, one.average_precision, one.thresholds, one.f1, strict=True)
    with replaced_folder(folder) as new:
        with (new / "per_label.csv").open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(["label", "support", "average_precision", "threshold", "f1"])
            writer.writerows(rows)
        (new / "metrics.json").write_text(json.dumps(multi_label_metrics(one), indent=1) + "\n", encoding="utf-8")


def multi_label_metrics(one: MultiLabelEvaluation) -> dict[str, Any]:
    """The figures as plain JSON values; what is not defined is null."""
    values = asdict(one)
    for name in ("average_precision", "thresholds", "f1"):
        pairs = zip(one.labels, values[name], strict=True)
        values[name] = {label: value if np.isfinite(value) else None for label, value in pairs}
    values["support"] = dict(zip(one.labels, one.support, strict=True))
    del values["labels"]
    return values


def _by_threshold(scores: Scores, truth: Truth) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """Each distinct score, from the highest: how many are right and how many answered from it on."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of each score
    return ordered[last], np.cumsum(truth[order])[last], last + 1


def _sigmoid(logits: Scores) -> Scores:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)  # which does not overflow
