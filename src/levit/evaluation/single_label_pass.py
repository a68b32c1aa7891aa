"""One pass of a model over images with one label each, and the metrics that it gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from levit.data.class_matching import ClassMatch
from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import ConfigError, DataError
from levit.evaluation.accumulator import MetricAccumulator, top_classes
from levit.evaluation.diagnostics import Diagnostics, Mistake
from levit.evaluation.labeled_predictions import (
    BadImage,
    LabeledPredictions,
    Progress,
    describe_problems,
    match_labels,
)
from levit.evaluation.metrics import Calibration, ClassMetrics, Counts, Estimate, proportion
from levit.runtime.classifier import Classifier
from levit.runtime.prediction import Prediction
from levit.spec.artifact import Accuracy
from levit.spec.choices import OnBadImage

if TYPE_CHECKING:
    from levit.evaluation.comparison import Comparison

_BATCH_SIZE = 64  # images per update of the counts

OnPrediction = Callable[[LabeledImage, Prediction, int], None]
"""Callback for each evaluated image: the image, its prediction, and the index of its class among the labels."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics of a model on images with one label each.

    `num_images` is the sum of `num_evaluated`, `num_unlabeled` and the number of `bad_images`.

    Attributes:
        model: name of the model.
        engine: name of the engine that computed the logits, such as "openvino".
        precision: precision of its arithmetic, such as "bf16".
        data: name of the data set.
        sha256: hash of the data set, 64 hexadecimal digits.
        split: name of its split; None where the data has none, or was not opened by its path.
        labels: labels of the model.
        data_classes_only: whether the model chose among the classes of the data set only; its accuracies are at least
            those over all labels, and not to be compared with them.
        matched: number of classes of the data set by the rule that matched them with a label ("name", "ImageNet", …).
        num_images: number of images in the data set, without those that were excluded.
        num_excluded: number of images that were excluded, because they determined the ranges of an int8 model.
        num_evaluated: number of images that were classified and compared with their label.
        num_unlabeled: number of images without a label.
        bad_images: the images that could not be evaluated, with reasons.
        empty_classes: names of the classes of the data set without an image.
        duplicates: duplicate images; None where they were not searched.
        top1: top-1 accuracy in [0, 1], with its confidence interval.
        top5: top-5 accuracy in [0, 1], with its confidence interval.
        class_indices: indices of the labels that are classes of the data set, ascending.
        per_class: precision, recall and F1 of every label.
        confusion: number of images by true and predicted label: int64 [labels, labels].
        calibration: agreement of scores with accuracy.
        mistakes: the most confident mistakes, in descending order of their scores.
        images_per_second: throughput from encoded image to prediction; None with a second model, because both share
            the processor and the reading of the images.
        comparison: comparison with a second model; None without one.
    """

    model: str
    engine: str
    precision: str
    data: str
    sha256: str
    split: str | None
    labels: tuple[str, ...] = field(repr=False)
    data_classes_only: bool
    matched: Mapping[str, int]
    num_images: int
    num_excluded: int
    num_evaluated: int
    num_unlabeled: int
    bad_images: tuple[BadImage, ...]
    empty_classes: tuple[str, ...]
    duplicates: Duplicates | None = field(repr=False)
    top1: Estimate
    top5: Estimate
    class_indices: tuple[int, ...] = field(repr=False)
    per_class: ClassMetrics = field(repr=False)
    confusion: Counts = field(repr=False)
    calibration: Calibration = field(repr=False)
    mistakes: tuple[Mistake, ...] = field(repr=False)
    images_per_second: float | None
    comparison: Comparison | None = field(default=None, repr=False)

    @property
    def candidates(self) -> tuple[str, ...]:
        """The labels among which the model chose."""
        if not self.data_classes_only:
            return self.labels
        return tuple(self.labels[index] for index in self.class_indices)

    @property
    def accuracy(self) -> Accuracy:
        """The record of this evaluation for the metadata of an artifact.

        Raises:
            ConfigError: the model chose among the classes of the data set only.
        """
        if self.data_classes_only:
            reason = "is True, and an artifact records its accuracy over all labels"
            raise ConfigError(reason, source="data_classes_only", hint="evaluate without it")
        return Accuracy(
            top1=self.top1.value, top5=self.top5.value, images=self.num_evaluated, data=self.data, sha256=self.sha256,
            engine=self.engine, precision=self.precision,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """The metrics as plain JSON values, the content of `metrics.json`: fractions in [0, 1].

        Means are those of `ClassMetrics.means` over the classes of the data set.
        """
        recall, precision, f1 = self.per_class.means(self.class_indices)
        return ({} if self.comparison is None else {"comparison": self.comparison.to_dict()}) | {
            "model": self.model,
            "engine": self.engine,
            "precision": self.precision,
            "data_classes_only": self.data_classes_only,
            "data": {
                "name": self.data,
                "sha256": self.sha256,
                "split": self.split,
                "classes": len(self.class_indices),
                "matched": dict(self.matched),
            },
            "images": {
                "total": self.num_images,
                "excluded": self.num_excluded,
                "evaluated": self.num_evaluated,
                "unlabeled": self.num_unlabeled,
                **describe_problems(self.bad_images, self.empty_classes, self.duplicates),
            },
            "top1": asdict(self.top1),
            "top5": asdict(self.top5),
            "mean_recall": recall,
            "mean_precision": precision,
            "mean_f1": f1,
            "calibration_error": self.calibration.error,
            "images_per_second": self.images_per_second,
        }


def call_all(*callbacks: OnPrediction | None) -> OnPrediction:
    """A callback that calls several, of which some may be missing."""
    present = [callback for callback in callbacks if callback is not None]

    def call(item: LabeledImage, prediction: Prediction, target: int) -> None:
        for callback in present:
            callback(item, prediction, target)

    return call


class SingleLabelPass:
    """One pass of a model over the images.

    Args:
        classifier: the model.
        data: the images, without those that are excluded.
        class_map, on_bad_image, on_prediction, data_classes_only: as in `evaluate`.
    """

    def __init__(
        self,
        classifier: Classifier,
        data: LabeledDataset,
        class_map: Mapping[str, str] | None,
        on_bad_image: OnBadImage,
        on_prediction: OnPrediction | None,
        *,
        data_classes_only: bool,
    ) -> None:
        self._classifier, self._data, self._on_prediction = classifier, data, on_prediction
        self._match = _match_labels(data, classifier.labels, class_map)
        self._data_classes_only = data_classes_only
        self._excluded = np.ones(len(classifier.labels), bool)
        self._excluded[list(self._match.class_indices) if data_classes_only else slice(None)] = False
        self._predictions = LabeledPredictions(data, on_bad_image=on_bad_image)
        self._metrics = MetricAccumulator(len(classifier.labels))
        self._diagnostics = Diagnostics(len(classifier.labels))
        self._seconds = 0.0

    def steps(self, batch_size: int, progress: Progress) -> Generator[None]:
        """Evaluate the images; yields after some of them."""
        pairs = self._predictions.stream(self._classifier, batch_size=batch_size, progress=progress)
        while True:
            start = time.perf_counter()
            batch = list(islice(pairs, _BATCH_SIZE))
            self._add(batch)
            self._seconds += time.perf_counter() - start
            if not batch:
                break
            yield
        if self._metrics.num_images == 0:
            reason = f"none of its {self._predictions.num_images} images could be evaluated"
            raise DataError(reason, source=self._data.name)

    def _add(self, pairs: Sequence[tuple[LabeledImage, Prediction]]) -> None:
        if not pairs:
            return
        batch = [(item, self._exclude_labels(prediction)) for item, prediction in pairs]
        best = top_classes(np.stack([prediction.logits for _, prediction in batch]))
        counted = self._metrics.update(best, _targets([item for item, _ in batch], self._match.class_indices))
        for (item, prediction), predicted, target in zip(batch, best[:, 0].tolist(), counted.tolist(), strict=True):
            score = float(prediction.scores[predicted])
            self._diagnostics.add(item.name, item.image, target=target, predicted=predicted, score=score)
            if self._on_prediction is not None:
                self._on_prediction(item, prediction, target)

    def _exclude_labels(self, prediction: Prediction) -> Prediction:
        """The prediction without the labels that are not classes of the data, where only these are to be predicted."""
        if not self._excluded.any():
            return prediction
        return replace(prediction, logits=np.where(self._excluded, np.float32(-np.inf), prediction.logits))

    def result(
        self, *, split: str | None, duplicates: Duplicates | None, num_excluded: int, is_timed: bool
    ) -> Evaluation:
        """The evaluation, after all steps."""
        classifier, metrics, predictions = self._classifier, self._metrics, self._predictions
        return Evaluation(
            model=classifier.artifact.source.name,
            engine=classifier.engine.name,
            precision=classifier.engine.precision,
            data=self._data.name,
            sha256=self._data.sha256(),
            split=split,
            labels=classifier.labels,
            data_classes_only=self._data_classes_only,
            matched=self._match.rule_counts,
            num_images=predictions.num_images,
            num_excluded=num_excluded,
            num_evaluated=metrics.num_images,
            num_unlabeled=predictions.num_unlabeled,
            bad_images=tuple(predictions.bad_images),
            empty_classes=predictions.empty_classes,
            duplicates=duplicates,
            top1=proportion(metrics.num_correct, metrics.num_images),
            top5=proportion(metrics.num_top5_correct, metrics.num_images),
            class_indices=tuple(sorted({*self._match.class_indices})),
            per_class=metrics.class_metrics(),
            confusion=self._diagnostics.confusion,
            calibration=self._diagnostics.calibration(),
            mistakes=self._diagnostics.mistakes(),
            images_per_second=metrics.num_images / self._seconds if is_timed else None,
        )


def _match_labels(data: LabeledDataset, labels: tuple[str, ...], class_map: Mapping[str, str] | None) -> ClassMatch:
    if data.is_multi_label:
        raise DataError(
            "its images have several labels each", source=data.name, hint="use `levit.evaluate_multi_label`"
        )
    return match_labels(data, labels, class_map)


def _targets(items: Sequence[LabeledImage], class_indices: Sequence[int]) -> Counts:
    """Label indices of images, int64 [images, labels], padded with -1."""
    targets = [[class_indices[label] for label in item.labels] for item in items]
    width = max(map(len, targets))
    return np.array([row + [-1] * (width - len(row)) for row in targets], np.int64)
