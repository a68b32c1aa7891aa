"""Comparison of two models on the same images."""

from dataclasses import replace

import numpy as np
import pytest

from levit.errors import DataError
from levit.evaluation.comparison import (
    Comparison,
    ComparisonAccumulator,
    RecordedPredictions,
    model_names,
    paired_difference,
)
from levit.evaluation.evaluator import evaluate
from levit.runtime.classifier import Classifier
from tests.evaluation.color_data import UNUSABLE, ColorDataset
from tests.evaluation.models import always_green_classifier, crane_classifier
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, color_classifier


def compare(first: Classifier, second: Classifier, data: ColorDataset) -> Comparison:
    comparison = evaluate(first, data, compare=second).comparison
    assert comparison is not None
    return comparison


def test_images_are_counted_by_the_models_that_predict_them_correctly():
    comparison = compare(color_classifier(), always_green_classifier(), ColorDataset(UNUSABLE))
    assert (comparison.num_both_correct, comparison.num_neither) == (0, 0)
    assert (comparison.num_only_first, comparison.num_only_second) == (7, 3)
    assert (comparison.agreement.value, comparison.gain.value) == (0, pytest.approx(-0.4))
    assert {image.name for image in comparison.disagreements} == {item.name for item in ColorDataset().items}
    green = next(image for image in comparison.disagreements if image.name == "green0")
    assert (green.target, green.first, green.second) == ("green", "blue", "green")
    assert not green.is_first_correct


@pytest.mark.parametrize(
    ("changes", "given", "names"),
    [
        ({"model": "other"}, ("a.onnx", "b.onnx"), ("colors", "other")),
        ({"precision": "int8"}, ("a.onnx", "b.onnx"), ("colors (fp32)", "colors (int8)")),
        ({"engine": "native"}, ("a.onnx", "a.onnx"), ("colors (fake)", "colors (native)")),
        ({}, ("x/a.onnx", "x/b.onnx"), ("colors (a.onnx)", "colors (b.onnx)")),
        ({}, ("x/a.onnx", "y/a.onnx"), ("colors (x/a.onnx)", "colors (y/a.onnx)")),
        ({}, ("a.onnx", "a.onnx"), ("colors (first)", "colors (second)")),
    ],
    ids=str,
)
def test_models_of_one_name_are_distinguished_by_what_differs(changes, given, names):
    evaluation = replace(evaluate(color_classifier(), ColorDataset()), precision="fp32", engine="fake")
    assert model_names(evaluation, replace(evaluation, **changes), given) == names


def test_a_model_agrees_with_itself():
    comparison = compare(color_classifier(), color_classifier(), ColorDataset())
    assert (comparison.agreement.value, comparison.gain.value, comparison.disagreements) == (1, 0, ())
    assert comparison.gain.low == -comparison.gain.high < 0


def test_predictions_agree_under_different_names_of_a_class():
    """A model that was trained on ImageNet's folders names its classes by WordNet ids."""
    artifact = color_artifact()
    names = {"n01440764": "tench, Tinca tinca", "n02099601": "golden_retriever", "n07930864": "cup"}
    first, second = (
        Classifier(FakeEngine(replace(artifact, labels=tuple(labels)), lambda batch: batch.mean((2, 3))))
        for labels in (names, names.values())
    )
    data = ColorDataset()
    data.classes = ("n07930864", "n02099601", "n01440764")
    comparison = compare(first, second, data)
    assert (comparison.agreement.value, comparison.num_both_correct) == (1, 7)


def test_two_classes_of_one_name_are_two_predictions():
    """ImageNet has two cranes; the models have the same labels, so that indices are compared."""
    first = crane_classifier()
    always_bird = Classifier(
        FakeEngine(first.artifact, lambda batch: np.tile(np.eye(5, dtype="f4")[2], (len(batch), 1)))
    )
    data = ColorDataset()
    data.classes = ("crane (machine)", "tench", "crane (bird)")
    comparison = compare(first, always_bird, data)
    assert comparison.agreement.value == 0.6
    (image,) = comparison.disagreements
    assert (image.target, image.first, image.second) == ("crane (machine)", "crane (machine)", "crane (bird)")


def test_interval_of_a_difference_is_that_of_paired_samples():
    difference = paired_difference(40, 60, 1000)
    center, margin = 20 / 1002, 1.959963984540054 * np.sqrt(101 - 400 / 1002) / 1002
    expected = (0.02, center - margin, center + margin)
    assert (difference.value, difference.low, difference.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("num_only_first", "num_only_second", "expected"), [(0, 0, (0, -0.0891, 0.0891)), (0, 20, (1, 0.7595, 1))]
)
def test_interval_of_few_images_is_wide(num_only_first, num_only_second, expected):
    difference = paired_difference(num_only_first, num_only_second, 20)
    assert (difference.value, difference.low, difference.high) == pytest.approx(expected, abs=0.0005)


def test_models_on_different_images_are_not_compared():
    recorded = RecordedPredictions()
    first = evaluate(color_classifier(), ColorDataset(), on_prediction=recorded.add)
    accumulator = ComparisonAccumulator(recorded)
    second = evaluate(color_classifier(), ColorDataset(ColorDataset().items), on_prediction=accumulator.add)
    with pytest.raises(DataError, match="colors was evaluated on 10 images and colors on 20"):
        accumulator.result(first, second)
