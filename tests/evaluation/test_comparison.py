"""Two models on the same images."""

from dataclasses import replace

import numpy as np
import pytest

from levit.errors import DataError
from levit.evaluation.comparison import Answers, Comparer, paired_difference
from levit.evaluation.evaluator import evaluate
from levit.reporting.evaluation_output import metrics
from levit.reporting.evaluation_report import write_report
from levit.runtime.classifier import Classifier
from levit.runtime.fake_engine import FakeEngine
from tests.evaluation.test_evaluator import BAD, Colors
from tests.runtime.small_model import colors_card, colors_classifier


def always_green() -> Classifier:
    return Classifier(FakeEngine(colors_card(), lambda batch: np.tile(np.float32([0, 1, 0]), (len(batch), 1))))


def compare(first: Classifier, second: Classifier, data: Colors):
    answers = Answers()
    one = evaluate(first, data, on_prediction=answers.add)
    comparer = Comparer(answers)
    return comparer.finish(one, evaluate(second, data, on_prediction=comparer.add))


def test_it_says_who_is_right_where(tmp_path):
    both = compare(colors_classifier(), always_green(), Colors(BAD))
    assert (both.both_right, both.only_first, both.only_second, both.neither) == (0, 7, 3, 0)
    assert (both.agreement.percent, both.gain.percent) == (0, pytest.approx(-40))
    assert {one.name for one in both.differences} == {item.name for item in Colors().items}
    first = next(one for one in both.differences if one.name == "green0")
    assert (first.truth, first.first, first.second) == ("green", "blue", "green")
    values = metrics(both.first, both)["compared"]
    assert (values["model"], values["images"]["only_first"]) == ("colors", 7)
    page = write_report(both.first, both)
    assert "-40.00 points" in page
    assert page.count("<figure>") == 3 + 10


def test_a_model_agrees_with_itself():
    both = compare(colors_classifier(), colors_classifier(), Colors())
    assert (both.agreement.percent, both.gain.percent, both.differences) == (100, 0, ())
    assert both.gain.low == -both.gain.high < 0


def test_answers_agree_in_whatever_way_they_are_called():
    """A model that was trained on ImageNet's folders calls its classes by their ids."""
    card = colors_card()
    names = {"n01440764": "tench, Tinca tinca", "n02099601": "golden_retriever", "n07930864": "cup"}
    first, second = (
        Classifier(FakeEngine(replace(card, labels=tuple(labels)), lambda batch: batch.mean((2, 3))))
        for labels in (names, names.values())
    )

    class Named(Colors):
        classes = ("n07930864", "n02099601", "n01440764")

    both = compare(first, second, Named())
    assert (both.agreement.percent, both.both_right) == (100, 7)


def test_the_interval_of_a_difference_is_that_of_pairs():
    found = paired_difference(40, 60, 1000)
    center, half = 2000 / 1002, 1.959963984540054 * np.sqrt(101 - 400 / 1002) / 10.02
    assert (found.percent, found.low, found.high) == pytest.approx((2, center - half, center + half))


@pytest.mark.parametrize(("lost", "won", "expected"), [(0, 0, (0, -8.91, 8.91)), (0, 20, (100, 75.95, 100))])
def test_few_images_are_no_certainty(lost, won, expected):
    found = paired_difference(lost, won, 20)
    assert (found.percent, found.low, found.high) == pytest.approx(expected, abs=0.05)


def test_other_images_are_not_compared():
    answers = Answers()
    one = evaluate(colors_classifier(), Colors(), on_prediction=answers.add)
    comparer = Comparer(answers)
    other = evaluate(colors_classifier(), Colors(Colors().items), on_prediction=comparer.add)
    with pytest.raises(DataError, match="colors judged 10 images and colors 20"):
        comparer.finish(one, other)
