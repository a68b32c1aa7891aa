"""When a model should say that it does not know: a temperature for its scores, and a threshold for its answers."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import LabeledDataset
from levit.data.subsets import exclude_calibration
from levit.errors import ConfigError, DataError, LevitWarning
from levit.evaluation.accuracy import Logits, Targets, compute_logits, read_targets
from levit.runtime.classifier import Classifier
from levit.spec.artifact import Rejection

_RANGE = (0.05, 20.0)  # of temperatures
DEFAULT_COVERAGE = 0.95


def find_rejection(
    classifier: Classifier,
    data: LabeledDataset,
    *,
    coverage: float | None = None,
    precision: float | None = None,
    skip: int = 0,
) -> Rejection:
    """Find a temperature and a threshold on labeled images.

    The temperature makes scores into probabilities (Guo et al., 2017): it minimizes the negative log-likelihood of the
    labels. It changes no answer. Where all answers are right, the likelihood has no such minimum: the temperature is
    then 1, and a warning says so. Below the threshold the answer is "unknown".

    Args:
        classifier: the model.
        data: images of what it knows, which it was not trained on.
        coverage: the share of them that it is to answer, between 0 and 1; 0.95 where nothing is given.
        precision: instead, the share of right ones among what it answers.
        skip: leave out as many images, because they calibrated int8: see `levit.data.subsets`.

    Raises:
        ConfigError: both are given, or not between 0 and 1, or the model decides each label by itself.
        DataError: the images have no labels, or no threshold gives this precision.
        ImageError: an image cannot be read.
        ImportError: scipy is not installed.
    """
    if coverage is not None and precision is not None:
        raise ConfigError("coverage and precision exclude each other: give one of them")
    if classifier.artifact.is_multi_label:
        name = classifier.artifact.source.name
        raise ConfigError(f"{name}: decides each label by itself: `levit evaluate` gives every label a threshold")
    for name, value in (("coverage", coverage), ("precision", precision)):
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"{name} is {value}: give a share above 0, up to 1")
    judging = exclude_calibration(data, skip)
    targets = read_targets(judging, classifier.labels)
    logits = compute_logits(classifier.engine, judging)
    right = logits.argmax(axis=1) == targets
    temperature = 1.0
    if not right.all():
        temperature = fit_temperature(logits, targets)
    else:
        text = f"{data.name}: no mistake among {len(right)} images: the scores stay as they are: give harder ones"
        warnings.warn(text, LevitWarning, stacklevel=2)
    scores = softmax(logits / np.float32(temperature)).max(axis=1)
    if precision is not None:
        threshold = threshold_for_precision(scores, right, precision, data.name)
    else:
        threshold = threshold_for_coverage(scores, DEFAULT_COVERAGE if coverage is None else coverage)
    threshold *= 1 - 1e-6  # an image that stands exactly on it does not fall by another rounding
    answered = scores >= threshold
    return Rejection(
        temperature=temperature,
        threshold=threshold,
        coverage=float(100 * answered.mean()),
        precision=float(100 * right[answered].mean()),
        data=data.name,
        sha256=data.sha256(),
        images=len(targets),
    )


def fit_temperature(logits: Logits, targets: Targets) -> float:
    """What to divide logits by, so that their softmax is closest to the labels.

    Raises:
        ImportError: scipy is not installed.
    """
    try:
        from scipy.optimize import minimize_scalar
    except ImportError as error:
        raise ImportError('a temperature needs scipy: pip install "levit[evaluation]"') from error
    wide = logits.astype(np.float64)
    rows = np.arange(len(wide))

    def loss(exponent: float) -> float:
        scaled = wide * np.exp(-exponent)
        scaled -= scaled.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, targets]))

    found = minimize_scalar(loss, bounds=np.log(_RANGE), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def threshold_for_coverage(scores: NDArray[np.float32], coverage: float) -> float:
    """The highest score from which on at least this share of the images is answered.

    Examples:
        >>> threshold_for_coverage(np.float32([0.5, 0.25, 0.75, 1.0]), 0.75)
        0.5
    """
    ordered = np.sort(scores)[::-1]
    return float(ordered[int(np.ceil(coverage * len(ordered) - 1e-9)) - 1])


def threshold_for_precision(
    scores: NDArray[np.float32], right: NDArray[np.bool_], precision: float, name: str = "the data"
) -> float:
    """The lowest score from which on at least this share of the answers is right.

    Raises:
        DataError: there is none.

    Examples:
        >>> threshold_for_precision(np.float32([0.25, 0.5, 0.75]), np.array([False, True, True]), 1.0)
        0.5
    """
    order = np.argsort(-scores, kind="stable")
    ordered, shares = scores[order], np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)  # of each score: ties stand or fall together
    good = last[shares[last] >= precision]
    if not len(good):
        raise DataError(
            f"{name}: no threshold makes {100 * precision:g} % of the answers right (the best gives "
            f"{100 * shares[last].max():.1f} %): ask for less"
        )
    return float(ordered[good[-1]])


def softmax(logits: Logits) -> NDArray[np.float32]:
    """Probabilities: float32 [images, classes]."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)
