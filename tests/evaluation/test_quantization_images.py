"""Images that set the int8 ranges of a model, or calibrated its scores, are left out of its evaluation or named."""

import warnings
from dataclasses import replace

import pytest

from levit.data.subsets import split_quantization_images
from levit.errors import LevitWarning
from levit.evaluation.evaluator import evaluate
from levit.evaluation.multi_label import evaluate_multi_label
from levit.evaluation.rejection import find_rejection
from levit.runtime.classifier import Classifier
from levit.spec.artifact import Quantization, Rejection
from tests.evaluation.color_data import ColorDataset, FlagDataset
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, color_classifier


def classifier(**records) -> Classifier:
    artifact = replace(color_artifact(), precision="int8", **records)
    return Classifier(FakeEngine(artifact, lambda batch: batch.mean((2, 3))))


def quantized_on(data: ColorDataset, images: int, name: str | None = None) -> Classifier:
    record = Quantization(
        data=name or data.name, sha256=data.sha256(), images=images, float_layers=(), agreement=1.0,
        max_logit_difference=0.0, is_in_sample=True,
    )  # fmt: skip
    return classifier(quantization=record)


def test_images_that_set_the_ranges_are_left_out_without_being_named():
    evaluation = evaluate(quantized_on(ColorDataset(), 4), ColorDataset())
    assert (evaluation.num_images, evaluation.num_excluded, evaluation.num_evaluated) == (6, 4, 6)
    assert evaluation.top1.value == pytest.approx(4 / 6)  # without three that are correct and one that is not
    assert find_rejection(quantized_on(ColorDataset(), 4), ColorDataset()).images == 6
    with pytest.warns(LevitWarning, match="trained for one label per image"):
        several = evaluate_multi_label(quantized_on(FlagDataset(), 1), FlagDataset())
    assert (several.num_images, several.num_excluded) == (3, 1)


def test_images_that_set_the_ranges_of_either_model_are_left_out_of_a_comparison():
    for counts in ((4, 2), (2, 4)):
        first, second = (quantized_on(ColorDataset(), count) for count in counts)
        evaluation = evaluate(first, ColorDataset(), compare=second)
        assert (evaluation.num_excluded, evaluation.comparison.second.num_excluded) == (4, 4)
    evaluation = evaluate(color_classifier(), ColorDataset(), compare=quantized_on(ColorDataset(), 3))
    assert (evaluation.num_excluded, evaluation.comparison.second.num_excluded) == (3, 3)


def test_a_data_set_of_another_hash_or_a_subset_is_evaluated_completely():
    other = ColorDataset()
    other.sha256 = lambda: "1" * 64
    assert evaluate(quantized_on(ColorDataset(), 4), other).num_excluded == 0
    _, remaining = split_quantization_images(ColorDataset(), 4)
    assert (evaluate(quantized_on(ColorDataset(), 4), remaining).num_images, len(remaining)) == (6, 6)


def test_the_same_images_under_another_name_are_left_out_too():
    assert evaluate(quantized_on(ColorDataset(), 4, "former name"), ColorDataset()).num_excluded == 4


def test_a_data_set_of_which_every_image_set_the_ranges_is_evaluated_with_a_warning():
    with pytest.warns(LevitWarning, match="with 10 of these images, so its accuracy is optimistic$"):
        evaluation = evaluate(quantized_on(ColorDataset(), 10), ColorDataset())
    assert (evaluation.num_images, evaluation.num_excluded) == (10, 0)


def test_images_that_calibrated_the_scores_are_a_warning():
    record = find_rejection(color_classifier(), ColorDataset())
    assert isinstance(record, Rejection)
    with pytest.warns(LevitWarning, match="colors was calibrated on these images, so its calibration error is opt"):
        evaluate(classifier(rejection=record), ColorDataset())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(classifier(rejection=replace(record, sha256="1" * 64)), ColorDataset())
