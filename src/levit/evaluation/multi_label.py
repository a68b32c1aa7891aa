"""How good a model is where an image may show any number of classes: average precision, and thresholds."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from levit.data.class_matching import match_classes
from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import DataError, LevitWarning
from levit.evaluation.accumulator import KEPT_MISTAKES, BadImage
from levit.evaluation.top_k import Highest
from levit.images.decoding import ImageSource
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.prediction import Prediction, sigmoid

Scores = NDArray[np.float32]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelMistake:
    """A label that the model sees where it is not, or does not see where it is, and the score it gives."""

    name: str
    image: ImageSource = field(repr=False)
    label: int
    is_there: bool
    score: float


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
        empty_classes: names of the data's classes that no image has.
        duplicates: images that are there twice; None where nobody looked for them.
        mean_average_precision: of the labels that occur.
        average_precision: of each label: the mean precision at every image that shows it; NaN where none does.
        thresholds: for each label the score from which on to answer it, so that F1 is highest.
        f1: of each label at its threshold; it flatters, because the same images chose the threshold.
        support: images that show each label.
        mistakes: of each image the label that is furthest from the truth, where that is the wrong side of one half; of
            those the furthest.
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
    empty_classes: tuple[str, ...] = field(repr=False)
    duplicates: Duplicates | None = field(repr=False)
    mean_average_precision: float
    average_precision: tuple[float, ...] = field(repr=False)
    thresholds: tuple[float, ...] = field(repr=False)
    f1: tuple[float, ...] = field(repr=False)
    support: tuple[int, ...] = field(repr=False)
    mistakes: tuple[LabelMistake, ...] = field(repr=False)
    images_per_second: float

    @property
    def mean_f1(self) -> float:
        """Of the labels that occur; NaN where none does."""
        defined = [value for value in self.f1 if np.isfinite(value)]
        return sum(defined) / len(defined) if defined else float("nan")


def evaluate_multi_label(
    classifier: Classifier,
    data: LabeledDataset,
    *,
    class_map: Mapping[str, str] | None = None,
    fails: bool = False,
    batch_size: int = DEFAULT_BATCH_SIZE,
    duplicates: Callable[[], Duplicates] | None = None,
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
        duplicates: looks for images that are there twice, once all are judged; see `find_duplicates`.
        watch: what the predictions pass through, to show progress.

    Raises:
        DataError: no image could be judged, or a class is not the model's.
        ImageError: with `fails`, an image cannot be read.
    """
    if not data.classes:
        raise DataError(f"{data.name}: no image has a label")
    places = match_classes(data.classes, classifier.labels, data.name, class_map).class_indices
    if not classifier.artifact.is_multi_label:
        text = (
            f"{classifier.artifact.source.name}: trained for one label an image: its sigmoids are judged here, and "
            "`levit predict` gives other scores"
        )
        warnings.warn(text, LevitWarning, stacklevel=2)
    run = _Run(data, list(places), fails=fails)
    start = time.perf_counter()
    for prediction in watch(classifier.stream(run.sources(), batch_size=batch_size)):
        run.add(prediction)
    if not run.rows:
        raise DataError(f"{data.name}: none of its {run.found} images could be judged")
    rate, scores = len(run.rows) / (time.perf_counter() - start), np.stack(run.rows)
    truth = np.zeros(scores.shape, np.bool_)
    for row, labels in enumerate(run.truths):
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
        found=run.found,
        judged=len(run.rows),
        bad=tuple(run.bad),
        empty_classes=run.empty_classes,
        duplicates=duplicates() if duplicates else None,
        mean_average_precision=float(np.nanmean(precisions)) if truth.any() else float("nan"),
        average_precision=tuple(precisions),
        thresholds=tuple(threshold for threshold, _ in best),
        f1=tuple(f1 for _, f1 in best),
        support=tuple(int(count) for count in truth.sum(axis=0)),
        mistakes=tuple(run.mistakes.items()),
        images_per_second=rate,
    )


class _Run:
    """Goes through the data once: what is computed, what it should be, and what cannot be used."""

    def __init__(self, data: LabeledDataset, places: list[int], *, fails: bool) -> None:
        self._data, self._places, self._fails = data, places, fails
        self._given: deque[LabeledImage] = deque()  # to the classifier, and not yet answered
        self._seen = bytearray(len(places))  # of each class, whether an image has it
        self.found = 0
        self.rows: list[Scores] = []
        self.truths: list[tuple[int, ...]] = []
        self.bad: list[BadImage] = []
        self.mistakes = Highest[LabelMistake](KEPT_MISTAKES)

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """The classes that no image has, once all were seen."""
        return tuple(name for name, seen in zip(self._data.classes, self._seen, strict=True) if not seen)

    def sources(self) -> Iterator[ImageSource]:
        """The images whose labels are classes."""
        for item in self._data:
            self.found += 1
            for label in item.labels:
                if 0 <= label < len(self._seen):
                    self._seen[label] = True
            if strange := [label for label in item.labels if not 0 <= label < len(self._places)]:
                self._refuse(item.name, f"label {strange[0]} is none of {len(self._places)} classes")
            else:
                self._given.append(item)
                yield item.image

    def add(self, prediction: Prediction) -> None:
        """The answer to the first image that has none yet."""
        item = self._given.popleft()
        if prediction.error is not None:
            reason = str(prediction.error).removeprefix(f"{prediction.source}: ")
            self._refuse(item.name, reason, prediction.error)
            return
        scores = sigmoid(prediction.logits[self._places])
        self.rows.append(scores)
        self.truths.append(item.labels)
        is_there = np.zeros(len(scores), np.bool_)
        is_there[list(item.labels)] = True
        distance = np.where(is_there, 1 - scores, scores)
        worst = int(distance.argmax())
        if distance[worst] > 0.5:
            mistake = LabelMistake(item.name, item.image, worst, bool(is_there[worst]), float(scores[worst]))
            self.mistakes.add(float(distance[worst]), mistake)

    def _refuse(self, name: str, reason: str, error: Exception | None = None) -> None:
        if self._fails:
            raise error or DataError(f"{self._data.name}: {name}: {reason}")
        self.bad.append(BadImage(name, reason))


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


def _by_threshold(scores: Scores, truth: Truth) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """Each distinct score, from the highest: how many are right and how many answered from it on."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of each score
    return ordered[last], np.cumsum(truth[order])[last], last + 1
