"""Classifiers with a fake engine for the data sets of `color_data`."""

from dataclasses import replace

import numpy as np

from levit.runtime.classifier import Classifier
from levit.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact


def always_green_classifier() -> Classifier:
    return Classifier(FakeEngine(color_artifact(), lambda batch: np.tile(np.float32([0, 1, 0]), (len(batch), 1))))


def multi_label_classifier(labels: tuple[str, ...] = ("red", "green", "blue")) -> Classifier:
    """Multi-label classifier whose scores grow with the mean of each color channel."""
    artifact = replace(color_artifact(labels), is_multi_label=True)
    return Classifier(FakeEngine(artifact, lambda batch: 8 * (batch.mean((2, 3)) - 0.5)))
