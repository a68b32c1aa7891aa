"""When a model says that it does not know: the temperature, the threshold, and what they promise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.errors import ConfigError, DataError, LevitWarning
from levit.evaluation.rejection import (
    find_rejection,
    fit_temperature,
    softmax,
    threshold_for_coverage,
    threshold_for_precision,
)
from tests.evaluation.test_evaluator import Colors
from tests.runtime.small_model import colors_classifier


def draw(temperature, count=20_000):
    """Logits that are right as often as their softmax says, and then multiplied."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (count, 5)).astype(np.float32)
    chances = softmax(logits).cumsum(axis=1)
    targets = (generator.random((count, 1)) > chances).sum(axis=1).clip(0, 4)
    return logits * np.float32(temperature), targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_temperature_is_found_that_logits_were_multiplied_by(temperature):
    assert fit_temperature(*draw(temperature)) == pytest.approx(temperature, rel=0.03)


@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=50), st.floats(0.01, 1))
def test_the_coverage_holds_and_no_higher_threshold_keeps_it(scores, coverage):
    scores = np.float32(scores)
    threshold = threshold_for_coverage(scores, coverage)
    assert (scores >= threshold).mean() >= coverage - 1e-9
    higher = scores[scores > threshold]
    assert not len(higher) or (scores >= higher.min()).mean() < coverage + 1e-9


@given(st.lists(st.tuples(st.sampled_from([0.125, 0.25, 0.5, 0.75]), st.booleans()), min_size=1), st.floats(0.1, 1))
def test_the_precision_holds_and_no_lower_threshold_keeps_it(pairs, precision):
    scores, right = np.float32([score for score, _ in pairs]), np.array([is_right for _, is_right in pairs])
    shares = {float(score): right[scores >= score].mean() for score in np.unique(scores)}
    if max(shares.values()) < precision:
        with pytest.raises(DataError, match="no threshold makes"):
            threshold_for_precision(scores, right, precision)
        return
    threshold = threshold_for_precision(scores, right, precision)
    assert threshold == min(score for score, share in shares.items() if share >= precision)


def test_a_model_that_decides_each_label_by_itself_has_a_threshold_for_each():
    classifier = colors_classifier()
    classifier.artifact = replace(classifier.artifact, is_multi_label=True)
    with pytest.raises(ConfigError, match="decides each label by itself: `levit evaluate`"):
        find_rejection(classifier, Colors())


def test_where_nothing_is_wrong_scores_stay_and_that_is_said():
    class Easy(Colors):
        def __init__(self):
            super().__init__()
            self.items = [item for item in self.items if item.name.startswith("red")]

    with pytest.warns(LevitWarning, match=r"^colors: no mistake among \d+ images: the scores stay as they are"):
        found = find_rejection(colors_classifier(), Easy())
    assert (found.temperature, found.precision) == (1, 100)


def test_what_it_promises_is_what_it_gives():
    found = find_rejection(colors_classifier(), Colors(), precision=1.0)
    assert (found.precision, found.images, found.data) == (100, 10, "colors")
    assert found.coverage == 70  # all but those that are called green and are blue
    found = find_rejection(colors_classifier(), Colors(), coverage=0.5)
    assert found.coverage >= 50
    assert find_rejection(colors_classifier(), Colors()).coverage == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 0.5, "precision": 0.5}, "exclude each other"),
        ({"coverage": 0.0}, "coverage is 0.0: give a share above 0, up to 1"),
        ({"precision": 95}, "precision is 95: give a share above 0, up to 1"),
    ],
)
def test_wrong_wishes_are_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        find_rejection(colors_classifier(), Colors(), **options)
