"""Checks of the weights of a checkpoint."""

from dataclasses import replace

import numpy as np
import pytest

from levit.checkpoints.checkpoint import check_weights
from levit.errors import CheckpointError
from tests.conftest import random_checkpoint, random_weights
from tests.runtime.small_model import SMALL


class Unread(np.ndarray):
    """Array whose values must not be read."""

    def __array_ufunc__(self, *_arguments, **_options):
        raise AssertionError("the values are read")


@pytest.mark.parametrize(
    ("name", "message"),
    [("stranger", r"1 unexpected \(stranger\)"), ("classifier.linear.weight", r"1 mis-shaped \(classifier\.linear")],
)
def test_the_values_of_weights_that_do_not_fit_are_not_read(name, message):
    weights = random_weights(SMALL) | {name: np.zeros((2, 3)).view(Unread)}
    with pytest.raises(CheckpointError, match=message):
        check_weights(weights, SMALL, "x")


def test_values_that_are_not_finite_are_an_error():
    weights = random_weights(SMALL)
    weights["classifier.linear.weight"] = weights["classifier.linear.weight"] * np.nan
    with pytest.raises(CheckpointError, match=r"^x: the weights .*: 1 not finite \(classifier\.linear\.weight\)$"):
        check_weights(weights, SMALL, "x")


def test_names_for_another_number_of_classes_are_an_error():
    checkpoint = random_checkpoint(SMALL)
    with pytest.raises(CheckpointError) as caught:
        replace(checkpoint, labels=checkpoint.labels[:3])
    assert str(caught.value) == (
        "random: 3 label names for 5 classes: make id2label in config.json as long as the classifier"
    )
