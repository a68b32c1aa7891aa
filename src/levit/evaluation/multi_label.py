"""Evaluation of a model on images with any number of labels each: average precision, F1 and thresholds per label."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from levit.data.class_matching import match_classes
from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.data.read_once import read_once
from levit.errors import DataError, LevitWarning
from levit.evaluation.diagnostics import NUM_MISTAKES
from levit.evaluation.evaluation_set import HashProgress, duplicates_of, split_of, without_hash_progress
from levit.evaluation.labeled_predictions import (
    BadImage,
    LabeledPredictions,
    Progress,
    describe_problems,
    without_progress,
)
from levit.evaluation.metrics import class_metrics, mean_defined
from levit.evaluation.precision_recall import average_precision, best_threshold
from levit.evaluation.quantization_images import exclude_quantization_images, warn_of_own_images
from levit.evaluation.shown_names import shown_names
from levit.evaluation.top_k import TopK
from levit.evaluation.training_images import TrainingImageCounter
from levit.images.decoding import ImageSource
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.prediction import Prediction
from levit.runtime.scores import sigmoid
from levit.spec.choices import OnBadImage

_THRESHOLD = 0.5  # score from which on a label is predicted


@dataclass(frozen=True)
class LabelMistake:
    """A false positive or false negative of one label.

    Attributes:
        name: name of the image.
        image: the image.
        label: index of the label among those of the evaluation.
        is_present: whether the image has the label (false negative) or not (false positive).
        score: score of the label, in [0, 1].
    """

    name: str
    image: ImageSource = field(repr=False)
    label: int
    is_present: bool
    score: float


@dataclass(frozen=True, kw_only=True)
class MultiLabelEvaluation:
    """Metrics of a model on images with any number of labels each.

    `num_images` is the sum of `num_evaluated` and the number of `bad_images`.

    Attributes:
        model: name of the model.
        engine: name of the engine that computed the logits.
        precision: precision of its arithmetic.
        data: name of the data set.
        sha256: hash of the data set, 64 hexadecimal digits.
        split: name of its split; None where the data has none, or was not opened by its path.
        labels: the labels of the model that are classes of the data set, in the order of the data set.
        num_images: number of images in the data set, without those that were excluded.
        num_excluded: number of images that were excluded, because they determined the ranges of an int8 model.
        num_evaluated: number of images that were classified; an image without a label has none of the labels.
        bad_images: the images that could not be evaluated, with reasons.
        empty_classes: names of the classes of the data set without an image.
        duplicates: duplicate images; None where they were not searched.
        mean_average_precision: mean of `average_precision` over the labels that occur, in [0, 1]; NaN where none does.
        average_precision: area under the precision-recall curve of each label, in [0, 1]; NaN for a label that does
            not occur.
        f1: F1 of each label that is predicted where its score is at least 0.5, in [0, 1]; NaN for a label that neither
            occurs nor is predicted.
        thresholds: lowest score at which to predict each label for the highest F1; infinity for a label that does not
            occur.
        best_f1: F1 of each label at its threshold, in [0, 1]; optimistic, because the threshold is chosen on the same
            images; NaN for a label that does not occur.
        support: number of images with each label.
        mistakes: up to 24 false positives and false negatives at a threshold of 0.5, one per image, by descending
            distance of the score from the correct score of 0 or 1.
        images_per_second: throughput from encoded image to prediction.
    """

    model: str
    engine: str
    precision: str
    data: str
    sha256: str
    split: str | None
    labels: tuple[str, ...] = field(repr=False)
    num_images: int
    num_excluded: int
    num_evaluated: int
    bad_images: tuple[BadImage, ...]
    empty_classes: tuple[str, ...] = field(repr=False)
    duplicates: Duplicates | None = field(repr=False)
    mean_average_precision: float
    average_precision: tuple[float, ...] = field(repr=False)
    f1: tuple[float, ...] = field(repr=False)
    thresholds: tuple[float, ...] = field(repr=False)
    best_f1: tuple[float, ...] = field(repr=False)
    support: tuple[int, ...] = field(repr=False)
    mistakes: tuple[LabelMistake, ...] = field(repr=False)
    images_per_second: float

    @property
    def mean_f1(self) -> float:
        """Mean of `f1` over the labels that occur or are predicted, in [0, 1]; NaN where none occurs."""
        return mean_defined(self.f1) if any(self.support) else nan

    @property
    def mean_best_f1(self) -> float:
        """Mean of `best_f1` over the labels that occur, in [0, 1]; NaN where none does."""
        return mean_defined(self.best_f1)

    def to_dict(self) -> dict[str, Any]:
        """The metrics as plain JSON values, the content of `metrics.json`: fractions in [0, 1], None if undefined."""
        labels = shown_names(self.labels)

        def by_label(values: Iterable[float]) -> dict[str, float | None]:
            return {label: _defined(value) for label, value in zip(labels, values, strict=True)}

        return {
            "model": self.model,
            "engine": self.engine,
            "precision": self.precision,
            "data": {"name": self.data, "sha256": self.sha256, "split": self.split, "classes": len(labels)},
            "images": {
                "total": self.num_images,
                "excluded": self.num_excluded,
                "evaluated": self.num_evaluated,
                **describe_problems(self.bad_images, self.empty_classes, self.duplicates),
            },
            "mean_average_precision": _defined(self.mean_average_precision),
            "mean_f1": _defined(self.mean_f1),
            "mean_best_f1": _defined(self.mean_best_f1),
            "average_precision": by_label(self.average_precision),
            "f1": by_label(self.f1),
            "thresholds": by_label(self.thresholds),
            "best_f1": by_label(self.best_f1),
            "support": dict(zip(labels, self.support, strict=True)),
            "images_per_second": self.images_per_second,
        }


def evaluate_multi_label(
    classifier: Classifier,
    data: LabeledDataset,
    *,
    class_map: Mapping[str, str] | None = None,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    find_duplicates: bool = True,
    duplicates_progress: HashProgress = without_hash_progress,
    progress: Progress = without_progress,
) -> MultiLabelEvaluation:
    """Evaluate a model on images with any number of labels.

    It is `levit.evaluate_multi_label` of an opened model and opened data, without its files. The other arguments are
    those of `levit.evaluate_multi_label`.

    Raises:
        ConfigError, DataError, ImageError: as for `levit.evaluate_multi_label`.
    """
    data = read_once(data)
    indices = _match_labels(data, classifier, class_map)
    kept, num_excluded = exclude_quantization_images([classifier.artifact], data)
    predictions = LabeledPredictions(kept, is_multi_label=True, on_bad_image=on_bad_image)
    accumulator = _Accumulator(indices)
    pairs = predictions.stream(classifier, batch_size=batch_size, progress=progress)
    accumulator.add_all(TrainingImageCounter(classifier).watch(pairs))
    if not accumulator.scores:
        raise DataError(f"none of its {predictions.num_images} images could be evaluated", source=data.name)
    warn_of_own_images(classifier.artifact, data, num_excluded=num_excluded)
    return MultiLabelEvaluation(
        model=classifier.artifact.source.name,
        engine=classifier.engine.name,
        precision=classifier.engine.precision,
        data=data.name,
        sha256=data.sha256(),
        split=split_of(data),
        labels=tuple(classifier.labels[index] for index in dict.fromkeys(indices)),
        num_images=predictions.num_images,
        num_excluded=num_excluded,
        bad_images=tuple(predictions.bad_images),
        empty_classes=predictions.empty_classes,
        duplicates=duplicates_of(data, num_excluded, duplicates_progress) if find_duplicates else None,
        mistakes=tuple(accumulator.mistakes.items()),
        **accumulator.metrics(),
    )


def _match_labels(data: LabeledDataset, classifier: Classifier, class_map: Mapping[str, str] | None) -> list[int]:
    if not data.classes:
        raise DataError("no image has a label", source=data.name)
    _warn_of_single_label(classifier)
    return list(match_classes(data.classes, classifier.labels, data.name, class_map).class_indices)


def _warn_of_single_label(classifier: Classifier) -> None:
    if not classifier.artifact.is_multi_label:
        text = (
            f"{classifier.artifact.source.name}: trained for one label per image: the sigmoids of its logits are "
            "evaluated, which are not the scores that `levit predict` prints"
        )
        warnings.warn(text, LevitWarning, stacklevel=5)


class _Accumulator:
    """Scores, labels and worst mistakes of the images so far.

    Args:
        class_indices: for each class of the data, the index of its label; several classes may have the same one.
    """

    def __init__(self, class_indices: Sequence[int]) -> None:
        self._label_indices = [*dict.fromkeys(class_indices)]
        self._positions = [self._label_indices.index(index) for index in class_indices]
        self.scores: list[NDArray[np.float32]] = []
        self.truth: list[NDArray[np.bool_]] = []
        self.mistakes = TopK[LabelMistake](NUM_MISTAKES)
        self._seconds = 0.0

    def add_all(self, pairs: Iterable[tuple[LabeledImage, Prediction]]) -> None:
        """Add images with their predictions, and measure the time that it takes.

        Args:
            pairs: the images, with predictions that are computed while they are added.
        """
        start = time.perf_counter()
        for item, prediction in pairs:
            self.add(item, sigmoid(prediction.logits[self._label_indices]))
        self._seconds += time.perf_counter() - start

    def add(self, item: LabeledImage, scores: NDArray[np.float32]) -> None:
        """Add one image with the scores of its labels: float32 [labels]."""
        truth = np.zeros(len(self._label_indices), np.bool_)
        truth[[self._positions[label] for label in item.labels]] = True
        self.scores.append(scores)
        self.truth.append(truth)
        distance = np.where(truth, 1 - scores, scores)
        worst = int(distance.argmax())
        if distance[worst] > _THRESHOLD:
            mistake = LabelMistake(item.name, item.image, worst, bool(truth[worst]), float(scores[worst]))
            self.mistakes.add(float(distance[worst]), mistake)

    def metrics(self) -> dict[str, Any]:
        """The fields of `MultiLabelEvaluation` that depend on scores, labels and time alone."""
        scores, truth = np.stack(self.scores), np.stack(self.truth)
        labels = range(len(self._label_indices))
        average_precisions = tuple(average_precision(scores[:, label], truth[:, label]) for label in labels)
        best = [best_threshold(scores[:, label], truth[:, label]) for label in labels]
        predicted = scores >= np.float32(_THRESHOLD)
        counts = class_metrics((predicted & truth).sum(axis=0), truth.sum(axis=0), predicted.sum(axis=0))
        return {
            "num_evaluated": len(scores),
            "mean_average_precision": mean_defined(average_precisions),
            "average_precision": average_precisions,
            "f1": tuple(counts.f1.tolist()),
            "thresholds": tuple(threshold for threshold, _ in best),
            "best_f1": tuple(f1 for _, f1 in best),
            "support": tuple(counts.support.tolist()),
            "images_per_second": len(scores) / self._seconds,
        }


def _defined(value: float) -> float | None:
    return value if isfinite(value) else None
