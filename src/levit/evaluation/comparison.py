"""Comparison of two models on the same images: agreement, paired difference in accuracy, disagreements."""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass, field
from math import sqrt
from pathlib import PurePath
from typing import Any

from levit.data.labeled_images import LabeledImage
from levit.errors import DataError
from levit.evaluation.metrics import NORMAL_QUANTILE, Estimate, proportion
from levit.evaluation.shown_names import class_keys, shown_names
from levit.evaluation.single_label_pass import Evaluation
from levit.evaluation.top_k import TopK
from levit.images.decoding import ImageSource
from levit.runtime.prediction import Prediction

NUM_DISAGREEMENTS = 24


@dataclass(frozen=True)
class Disagreement:
    """An image that one of two models predicts correctly and the other does not.

    Attributes:
        name: name of the image.
        image: the image.
        target: name of its class.
        first: prediction of the first model.
        second: prediction of the second model.
        is_first_correct: whether the first model is the one that is correct.
        score: score of the second model's prediction, in [0, 1].
    """

    name: str
    image: ImageSource = field(repr=False)
    target: str
    first: str
    second: str
    is_first_correct: bool
    score: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Comparison of a model with a second one on the same images.

    Attributes:
        second: evaluation of the second model.
        names: names of both models, which differ: with the precision, the engine or the file where one model is
            evaluated in two forms.
        agreement: fraction of the images with the same prediction, in [0, 1].
        num_both_correct: number of images that both predict correctly.
        num_only_first: number of images that only the first model predicts correctly.
        num_only_second: number of images that only the second model predicts correctly.
        num_neither: number of images that neither predicts correctly.
        gain: top-1 accuracy of the second model minus that of the first, in [-1, 1]; the interval is that of paired
            samples.
        disagreements: up to 24 images that one of them predicts correctly, by descending score of the second model.
    """

    second: Evaluation
    names: tuple[str, str]
    agreement: Estimate
    num_both_correct: int
    num_only_first: int
    num_only_second: int
    num_neither: int
    gain: Estimate
    disagreements: tuple[Disagreement, ...] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain JSON values: fractions in [0, 1]."""
        return {
            "model": self.second.model,
            "engine": self.second.engine,
            "precision": self.second.precision,
            "top1": asdict(self.second.top1),
            "gain": asdict(self.gain),
            "agreement": asdict(self.agreement),
            "images": {
                "both_correct": self.num_both_correct,
                "only_first": self.num_only_first,
                "only_second": self.num_only_second,
                "neither": self.num_neither,
            },
        }


class RecordedPredictions:
    """Predictions of one model, image by image, in five bytes each.

    Attributes:
        labels: labels of the model; empty before the first prediction.
    """

    def __init__(self) -> None:
        self.labels: tuple[str, ...] = ()
        self._classes = array("i")
        self._is_correct = bytearray()

    def add(self, item: LabeledImage, prediction: Prediction, target: int) -> None:
        """Record one image: an `on_prediction` callback of `evaluate`."""
        best = prediction.top(1)[0]
        self.labels = prediction.labels
        self._classes.append(best.index)
        self._is_correct.append(best.index == target)

    def __len__(self) -> int:
        return len(self._classes)

    def __getitem__(self, index: int) -> tuple[int, bool]:
        """Index of the predicted class of an image, and whether it is correct."""
        return self._classes[index], bool(self._is_correct[index])


class ComparisonAccumulator:
    """Counts of a second model's predictions, compared with the recorded predictions of a first model.

    Args:
        first: predictions of the first model on the same images; those of an image are recorded before the second
            model's are added.
    """

    def __init__(self, first: RecordedPredictions) -> None:
        self._first = first
        self._counts = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
        self._num_same = self._num_images = 0
        self._disagreements = TopK[Disagreement](NUM_DISAGREEMENTS)

    def add(self, item: LabeledImage, prediction: Prediction, target: int) -> None:
        """Compare one image: an `on_prediction` callback of `evaluate`."""
        best, index = prediction.top(1)[0], self._num_images
        self._num_images += 1
        if index >= len(self._first):
            return  # `result` raises the error, which states both numbers of images
        first, is_first_correct = self._first[index]
        is_correct = (is_first_correct, best.index == target)
        self._counts[is_correct] += 1
        self._num_same += self._is_same(first, best.index, prediction.labels)
        if is_correct[0] != is_correct[1]:
            names = shown_names(prediction.labels)
            disagreement = Disagreement(
                item.name, item.image, names[target], shown_names(self._first.labels)[first], names[best.index],
                is_first_correct, best.score,
            )  # fmt: skip
            self._disagreements.add(best.score, disagreement)

    def _is_same(self, first: int, second: int, labels: tuple[str, ...]) -> bool:
        """Return whether two predictions are the same class: by index, or by name where the labels differ."""
        if labels == self._first.labels:
            return first == second
        return class_keys(self._first.labels)[first] == class_keys(labels)[second]

    def result(self, first: Evaluation, second: Evaluation, *, given: tuple[str, str] = ("", "")) -> Comparison:
        """The comparison, after both models were evaluated on all images.

        Args:
            first: evaluation of the first model.
            second: evaluation of the second model.
            given: files of the models; empty where there is none.

        Raises:
            DataError: they were evaluated on different numbers of images.
        """
        if not first.num_evaluated == second.num_evaluated == self._num_images:
            raise DataError(
                f"{first.model} was evaluated on {first.num_evaluated} images and {second.model} on "
                f"{second.num_evaluated}",
                source=first.data,
                hint="do not change the data between the two evaluations",
            )
        only_first, only_second = self._counts[True, False], self._counts[False, True]
        return Comparison(
            second=second,
            names=model_names(first, second, given),
            agreement=proportion(self._num_same, self._num_images),
            num_both_correct=self._counts[True, True],
            num_only_first=only_first,
            num_only_second=only_second,
            num_neither=self._counts[False, False],
            gain=paired_difference(only_first, only_second, self._num_images),
            disagreements=tuple(self._disagreements.items()),
        )


def model_names(first: Evaluation, second: Evaluation, given: tuple[str, str]) -> tuple[str, str]:
    """Names of two models that differ: two forms of one model have precision, engine or file in it.

    Args:
        first: evaluation of the first model.
        second: evaluation of the second model.
        given: files of the models; empty where there is none.
    """
    if first.model != second.model:
        return first.model, second.model
    for details in (
        (first.precision, second.precision),
        (first.engine, second.engine),
        (PurePath(given[0]).name, PurePath(given[1]).name),
        given,
    ):
        if details[0] != details[1]:
            return f"{first.model} ({details[0]})", f"{second.model} ({details[1]})"
    return f"{first.model} (first)", f"{second.model} (second)"


def paired_difference(num_only_first: int, num_only_second: int, num_images: int) -> Estimate:
    """Difference of two accuracies on the same images, with the interval of Agresti and Min (2005).

    Half an image is added to each of the four counts (both, only the first, only the second, neither
    correct), so that the interval of few images without a disagreement is not empty.

    Args:
        num_only_first: number of images that only the first model predicts correctly.
        num_only_second: number of images that only the second model predicts correctly.
        num_images: number of all images.

    Returns:
        Accuracy of the second model minus that of the first, in [-1, 1].

    Examples:
        >>> paired_difference(40, 60, 1000)
        Estimate(value=0.02, low=0.0003..., high=0.0395...)
    """
    difference = num_only_second - num_only_first
    total, gain = num_images + 2, difference / num_images
    center = difference / total
    variance = num_only_second + num_only_first + 1 - difference**2 / total
    margin = NORMAL_QUANTILE * sqrt(max(0.0, variance)) / total
    return Estimate(gain, max(-1.0, min(gain, center - margin)), min(1.0, max(gain, center + margin)))
