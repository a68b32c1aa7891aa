"""Classifiers with a fake engine for the data sets of `color_data`."""

from dataclasses import replace

import numpy as np

from levit.runtime.classifier import Classifier
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact


def always_green_classifier() -> Classifier:
    return Classifier(FakeEngine(color_artifact(), lambda batch: np.tile(np.float32([0, 1, 0]), (len(batch), 1))))


def crane_classifier() -> Classifier:
    """Classifier of five classes of ImageNet, two of which have one name: the red and the blue one."""

    def logits(batch: np.ndarray) -> np.ndarray:
        values = np.zeros((len(batch), 5), np.float32)
        values[:, [2, 0, 4]] = batch.mean((2, 3))
        return values

    return Classifier(FakeEngine(color_artifact(("tench", "goldfish", "crane", "zebra", "crane")), logits))


def multi_label_classifier(labels: tuple[str, ...] = ("red", "green", "blue")) -> Classifier:
    """Multi-label classifier whose scores grow with the mean of each color channel."""
    artifact = replace(color_artifact(labels), is_multi_label=True)
    return Classifier(FakeEngine(artifact, lambda batch: 8 * (batch.mean((2, 3)) - 0.5)))
