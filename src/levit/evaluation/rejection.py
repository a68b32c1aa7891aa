"""Rejection of uncertain images: a temperature for scores, and a threshold below which the prediction is unknown."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import LabeledDataset
from levit.data.read_once import read_once
from levit.errors import ConfigError, DataError, LevitWarning
from levit.evaluation.labeled_predictions import (
    LabeledPredictions,
    match_labels,
    none_usable,
    warn_of_unlabeled,
    warn_of_unusable,
)
from levit.evaluation.quantization_images import exclude_quantization_images
from levit.evaluation.training_images import TrainingImageCounter
from levit.runtime.classifier import Classifier
from levit.runtime.scores import compute_scores
from levit.spec.artifact import Rejection

Logits = NDArray[np.float32]
Targets = NDArray[np.int64]

DEFAULT_COVERAGE = 0.95
_FOLDS = 5  # of the cross-validation
_TEMPERATURES = (0.05, 20.0)  # range of the search


def find_rejection(
    classifier: Classifier,
    data: LabeledDataset,
    *,
    coverage: float | None = None,
    target_precision: float | None = None,
    class_map: Mapping[str, str] | None = None,
) -> Rejection:
    """Find a temperature and a threshold on labeled images.

    The temperature turns scores into probabilities (Guo et al., 2017): it minimizes the negative log-likelihood of the
    labels and changes no prediction. Where all predictions are correct, the likelihood has no such minimum: the
    temperature is then 1, and a warning is issued. Below the threshold the prediction is "unknown". Images with which
    an int8 model was quantized are excluded.

    Coverage and precision are measured by cross-validation: each fifth of the images with the temperature and the
    threshold of the other four fifths. With fewer than five images, or if no image reaches the threshold of the
    others, they are those of all images, and `is_in_sample` is True.

    Args:
        classifier: the model.
        data: images of the model's classes that it was not trained on, each with one label, or with several of which
            any is correct (ImageNet-ReaL). Those without a label, and those that cannot be read, are left out, and a
            warning counts them.
        coverage: fraction of the images whose score must reach the threshold, in (0, 1]; 0.95 if neither is given.
        target_precision: alternative to `coverage`: fraction of the predictions above the threshold that must be
            correct.
        class_map: label of the model for classes of the data whose names differ from it.

    Raises:
        ConfigError: both are given or out of range, or the model is a multi-label model.
        DataError: an image has several labels that are not alternatives, a class has no matching label, no image with
            a label remains, or no threshold reaches the precision.
        ImageError: no image can be read.
        ImportError: scipy is not installed.
    """
    _check(classifier, coverage, target_precision)
    data = read_once(data)
    kept, _ = exclude_quantization_images([classifier.artifact], data)
    logits, targets = _predict(classifier, kept, class_map)
    is_correct = logits.argmax(axis=1) == targets
    if is_correct.all():
        text = f"all {len(is_correct):,} images are classified correctly, so the temperature of the scores stays 1"
        warnings.warn(f"{data.name}: {text}: calibrate with more or harder images", LevitWarning, stacklevel=2)
    fit = partial(_fit, coverage=coverage, target_precision=target_precision, name=data.name)
    temperature, threshold = fit(logits, targets)
    is_accepted = _accept_held_out(fit, logits, targets)
    is_in_sample = not is_accepted.any()
    if is_in_sample:
        is_accepted = _scores(logits, temperature) >= threshold
    return Rejection(
        temperature=temperature,
        threshold=threshold,
        coverage=float(is_accepted.mean()),
        precision=float(is_correct[is_accepted].mean()),
        data=data.name,
        sha256=data.sha256(),
        images=len(targets),
        is_in_sample=is_in_sample,
    )


def _check(classifier: Classifier, coverage: float | None, target_precision: float | None) -> None:
    if coverage is not None and target_precision is not None:
        raise ConfigError("`coverage` and `target_precision` exclude each other", hint="give one of them")
    if classifier.artifact.is_multi_label:
        raise ConfigError(
            "a multi-label model has no rejection",
            source=classifier.artifact.source.name,
            hint="`levit evaluate` finds a threshold for each label",
        )
    for name, value in (("coverage", coverage), ("target_precision", target_precision)):
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"is {value}", source=name, hint="give a fraction above 0 and at most 1")


def _predict(
    classifier: Classifier, data: LabeledDataset, class_map: Mapping[str, str] | None
) -> tuple[Logits, Targets]:
    """Logits float32 [images, classes] and targets int64 [images].

    Where any of several labels is correct, the target is the predicted label if it is among them, or else the first.
    """
    indices = match_labels(data, classifier.labels, class_map).class_indices
    predictions = LabeledPredictions(data, on_bad_image="skip", on_bad_label="fail")
    logits, targets = [], []
    for item, prediction in TrainingImageCounter(classifier).watch(predictions.stream(classifier)):
        logits.append(prediction.logits)
        classes = [indices[label] for label in item.labels]
        best = int(prediction.logits.argmax())
        targets.append(best if best in classes else classes[0])
    if not logits:
        if predictions.first_error is not None:
            raise none_usable(data, predictions.first_error)
        raise DataError("has no images with a label", source=data.name)
    warn_of_unusable(data, len(predictions.bad_images), predictions.first_error)
    warn_of_unlabeled(data, predictions.num_unlabeled)
    return np.stack(logits), np.array(targets, np.int64)


def _fit(
    logits: Logits, targets: Targets, *, coverage: float | None, target_precision: float | None, name: str
) -> tuple[float, float]:
    """Temperature and threshold of images."""
    is_correct = logits.argmax(axis=1) == targets
    temperature = 1.0 if is_correct.all() else fit_temperature(logits, targets)
    scores = _scores(logits, temperature)
    if target_precision is not None:
        threshold = threshold_for_precision(scores, is_correct, target_precision, name)
    else:
        threshold = threshold_for_coverage(scores, DEFAULT_COVERAGE if coverage is None else coverage)
    return temperature, threshold * (1 - 1e-6)  # an image exactly at the threshold is accepted despite other rounding


def _accept_held_out(
    fit: Callable[[Logits, Targets], tuple[float, float]], logits: Logits, targets: Targets
) -> NDArray[np.bool_]:
    """Return whether each image reaches the threshold of the images of the other folds: bool [images]."""
    is_accepted = np.zeros(len(targets), np.bool_)
    folds = np.arange(len(targets)) % _FOLDS
    for fold in range(_FOLDS if len(targets) >= _FOLDS else 0):
        is_held_out = folds == fold
        with suppress(DataError):  # no threshold of the other images reaches the precision: all are rejected
            temperature, threshold = fit(logits[~is_held_out], targets[~is_held_out])
            is_accepted[is_held_out] = _scores(logits[is_held_out], temperature) >= threshold
    return is_accepted


def _scores(logits: Logits, temperature: float) -> NDArray[np.float32]:
    """Score of the predicted class of each image: float32 [images]."""
    return np.asarray(compute_scores(logits, temperature=temperature).max(axis=1), np.float32)


def fit_temperature(logits: Logits, targets: Targets) -> float:
    """Find the temperature with the highest likelihood of the labels.

    Args:
        logits: float32 [images, classes].
        targets: class index of each image: int64 [images].

    Returns:
        The divisor of the logits, between 0.05 and 20.

    Raises:
        ImportError: scipy is not installed.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ImportError as error:
        raise ImportError('a temperature needs scipy: pip install "levit[evaluation]"') from error
    logits64 = logits.astype(np.float64)
    rows = np.arange(len(logits64))

    def negative_log_likelihood(log_temperature: float) -> float:
        scaled = logits64 * np.exp(-log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, targets]))

    bounds = np.log(_TEMPERATURES)
    minimum = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(minimum.x))


def threshold_for_coverage(scores: NDArray[np.float32], coverage: float) -> float:
    """The highest threshold that at least this fraction of the images reaches.

    Args:
        scores: score of the predicted class of each image: float32 [images].
        coverage: fraction in (0, 1].

    Examples:
        >>> threshold_for_coverage(np.float32([0.5, 0.25, 0.75, 1.0]), 0.75)
        0.5
    """
    ordered = np.sort(scores)[::-1]
    return float(ordered[int(np.ceil(coverage * len(ordered) - 1e-9)) - 1])


def threshold_for_precision(
    scores: NDArray[np.float32], is_correct: NDArray[np.bool_], precision: float, name: str = "the data"
) -> float:
    """The lowest threshold above which at least this fraction of the predictions is correct.

    Args:
        scores: score of the predicted class of each image: float32 [images].
        is_correct: whether each prediction is correct: bool [images].
        precision: fraction in (0, 1].
        name: name of the data set, for the error.

    Raises:
        DataError: no threshold reaches the precision.

    Examples:
        >>> threshold_for_precision(np.float32([0.25, 0.5, 0.75]), np.array([False, True, True]), 1.0)
        0.5
    """
    order = np.argsort(-scores, kind="stable")
    ordered, precisions = scores[order], np.cumsum(is_correct[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # equal scores pass a threshold together
    reached = last[precisions[last] >= precision]
    if not len(reached):
        raise DataError(
            f"no threshold makes {100 * precision:g} % of the predictions correct (the best gives "
            f"{100 * precisions[last].max():.1f} %)",
            source=name,
            hint="request a lower precision",
        )
    return float(ordered[reached[-1]])
