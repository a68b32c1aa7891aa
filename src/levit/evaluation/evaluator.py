"""Evaluation of a model on images with one label each, in one pass through the runtime that predicts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from os import PathLike

import numpy as np

from levit.data.class_matching import ClassMatch, match_classes
from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.data.open_data import open_data
from levit.data.subsets import exclude_calibration
from levit.errors import DataError
from levit.evaluation.accumulator import MetricAccumulator, top_classes
from levit.evaluation.diagnostics import Diagnostics, Mistake
from levit.evaluation.labeled_predictions import BadImage, LabeledPredictions, OnBadImage, Progress, without_progress
from levit.evaluation.metrics import Calibration, ClassMetrics, Counts, Estimate, proportion
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.engine import Engine
from levit.runtime.prediction import Prediction
from levit.spec.artifact import Accuracy

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
        labels: labels of the model.
        matched: number of classes of the data set by the rule that matched them with a label ("name", "ImageNet", …).
        num_images: number of images in the data set, without the quantization images of the model.
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
        images_per_second: throughput from encoded image to prediction.
    """

    model: str
    engine: str
    precision: str
    data: str
    sha256: str
    labels: tuple[str, ...] = field(repr=False)
    matched: Mapping[str, int]
    num_images: int
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
    images_per_second: float

    @property
    def accuracy(self) -> Accuracy:
        """The record of this evaluation for the metadata of an artifact."""
        return Accuracy(
            top1=self.top1.value, top5=self.top5.value, images=self.num_evaluated, data=self.data, sha256=self.sha256,
            engine=self.engine, precision=self.precision,
        )  # fmt: skip


def evaluate(
    model: str | PathLike[str] | Classifier | Engine | None,
    data: str | PathLike[str] | LabeledDataset,
    *,
    split: str | None = None,
    class_map: Mapping[str, str] | None = None,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    quantization_images: int = 0,
    duplicates: Callable[[], Duplicates] | None = None,
    on_prediction: OnPrediction | None = None,
    progress: Progress = without_progress,
) -> Evaluation:
    """Evaluate a model on labeled images.

    Args:
        model: a model as for `levit.Classifier`, or a classifier.
        data: a path or name as for `levit.open_data`, or a data set.
        split: name of the split ("validation", "test" or "train"), where the data has several.
        class_map: label of the model for classes of the data set whose names differ from it.
        on_bad_image: count images that cannot be read or have invalid labels ("skip"), or raise an error ("fail").
        batch_size: number of images that are computed at once.
        quantization_images: number of quantization images of the model, which are excluded, as
            `levit.data.subsets.split_calibration` chooses them.
        duplicates: function that finds duplicate images, called after the pass; see `find_duplicates`.
        on_prediction: callback for each evaluated image.
        progress: wraps the iterator over all predictions, for example in a progress bar.

    Raises:
        ConfigError: `on_bad_image` is unknown.
        DataError: the data cannot be read, has no labels, or has classes without a matching label of the model.
        ImageError: with `on_bad_image="fail"`, an image cannot be read.

    Examples:
        >>> from levit.data.labeled_images import LabeledImage
        >>> class Cups:
        ...     name, classes, is_multi_label, is_any_label_correct = "cups", ("espresso",), False, False
        ...     def __len__(self): return 1
        ...     def __iter__(self): return iter([LabeledImage("examples/espresso.jpg", (0,), "espresso.jpg")])
        ...     def sha256(self): return "0" * 64
        >>> import levit
        >>> levit.evaluate(None, Cups()).top1.value
        1.0
    """
    classifier = model if isinstance(model, Classifier) else Classifier(model)
    images = open_data(data, split=split) if isinstance(data, str | PathLike) else data
    match = _match_labels(images, classifier.labels, class_map)
    predictions = LabeledPredictions(exclude_calibration(images, quantization_images), on_bad_image=on_bad_image)
    metrics, diagnostics = MetricAccumulator(len(classifier.labels)), Diagnostics(len(classifier.labels))
    start = time.perf_counter()
    pairs = predictions.stream(classifier, batch_size=batch_size, progress=progress)
    while batch := list(islice(pairs, _BATCH_SIZE)):
        best = top_classes(np.stack([prediction.logits for _, prediction in batch]))
        counted = metrics.update(best, _targets([item for item, _ in batch], match.class_indices))
        for (item, prediction), predicted, target in zip(batch, best[:, 0].tolist(), counted.tolist(), strict=True):
            score = float(prediction.scores[predicted])
            diagnostics.add(item.name, item.image, target=target, predicted=predicted, score=score)
            if on_prediction is not None:
                on_prediction(item, prediction, target)
    if metrics.num_images == 0:
        raise DataError(f"none of its {predictions.num_images} images could be evaluated", source=images.name)
    rate = metrics.num_images / (time.perf_counter() - start)
    return _summarize(
        classifier, images, match, predictions, metrics, diagnostics,
        images_per_second=rate, duplicates=duplicates() if duplicates else None,
    )  # fmt: skip


def _match_labels(data: LabeledDataset, labels: tuple[str, ...], class_map: Mapping[str, str] | None) -> ClassMatch:
    if data.is_multi_label:
        raise DataError(
            "its images have several labels each", source=data.name, hint="use `levit.evaluate_multi_label`"
        )
    if not data.classes:
        raise DataError("no labels", source=data.name, hint="put the images into one folder for each class")
    return match_classes(data.classes, labels, data.name, class_map)


def _targets(items: Sequence[LabeledImage], class_indices: Sequence[int]) -> Counts:
    """Label indices of images, int64 [images, labels], padded with -1."""
    targets = [[class_indices[label] for label in item.labels] for item in items]
    width = max(map(len, targets))
    return np.array([row + [-1] * (width - len(row)) for row in targets], np.int64)


def _summarize(
    classifier: Classifier,
    data: LabeledDataset,
    match: ClassMatch,
    predictions: LabeledPredictions,
    metrics: MetricAccumulator,
    diagnostics: Diagnostics,
    *,
    duplicates: Duplicates | None,
    images_per_second: float,
) -> Evaluation:
    return Evaluation(
        model=classifier.artifact.source.name,
        engine=classifier.engine.name,
        precision=classifier.engine.precision,
        data=data.name,
        sha256=data.sha256(),
        labels=classifier.labels,
        matched=match.rule_counts,
        num_images=predictions.num_images,
        num_evaluated=metrics.num_images,
        num_unlabeled=predictions.num_unlabeled,
        bad_images=tuple(predictions.bad_images),
        empty_classes=predictions.empty_classes,
        duplicates=duplicates,
        top1=proportion(metrics.num_correct, metrics.num_images),
        top5=proportion(metrics.num_top5_correct, metrics.num_images),
        class_indices=tuple(sorted(match.class_indices)),
        per_class=metrics.class_metrics(),
        confusion=diagnostics.confusion,
        calibration=diagnostics.calibration(),
        mistakes=diagnostics.mistakes(),
        images_per_second=images_per_second,
    )
