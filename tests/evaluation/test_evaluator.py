"""Evaluation with one label per image: metrics, images that cannot be evaluated, and consistent totals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levit.data.labeled_images import LabeledImage
from levit.errors import ConfigError, DataError, ImageError
from levit.evaluation.diagnostics import NUM_MISTAKES
from levit.evaluation.evaluator import evaluate
from tests.data.listed_dataset import ListedDataset
from tests.evaluation.color_data import OUT_OF_RANGE, TWO_LABELS, UNLABELED, UNREADABLE, UNUSABLE, ColorDataset
from tests.runtime.small_model import color_classifier, uniform_image


def test_classes_are_matched_by_name():
    evaluation = evaluate(color_classifier(), ColorDataset())
    assert evaluation.top1.value == pytest.approx(0.7)
    assert evaluation.top5.value == 1
    assert evaluation.confusion.tolist() == [[6, 0, 0], [0, 0, 3], [0, 0, 1]]  # red, green, blue
    assert (evaluation.num_images, evaluation.num_evaluated, evaluation.num_unlabeled) == (10, 10, 0)
    assert evaluation.bad_images == ()
    np.testing.assert_allclose(evaluation.per_class.recall, [1, 0, 1])
    names = (evaluation.model, evaluation.engine, evaluation.precision, evaluation.data)
    assert names == ("colors", "fake", "fp32", "colors")
    assert evaluation.accuracy.images == 10


@pytest.mark.parametrize("data_classes_only", [False, True])
def test_classes_that_the_class_map_gives_the_same_label_are_one(data_classes_only):
    """The three images labeled green are blue."""
    evaluation = evaluate(
        color_classifier(), ColorDataset(), class_map={"green": "blue"}, data_classes_only=data_classes_only
    )
    assert (evaluation.top1.value, evaluation.class_indices) == (1, (0, 2))
    assert evaluation.confusion.tolist() == [[6, 0, 0], [0, 0, 0], [0, 0, 4]]  # red, green, blue


def test_the_model_may_be_restricted_to_the_classes_of_the_data():
    """Of four images labeled green, blue is the strongest color, and green the second one of three."""
    colors = [(200, 0, 0)] * 6 + [(0, 90, 120)] * 3 + [(90, 0, 120)]
    items = [
        LabeledImage(uniform_image(*color), (int(number > 5),), str(number)) for number, color in enumerate(colors)
    ]
    data = ListedDataset(items, ("red", "green"))
    everything = evaluate(color_classifier(), data)
    restricted = evaluate(color_classifier(), data, data_classes_only=True)
    assert everything.confusion.tolist() == [[6, 0, 0], [0, 0, 4], [0, 0, 0]]  # red, green, blue
    assert restricted.confusion.tolist() == [[6, 0, 0], [1, 3, 0], [0, 0, 0]]
    assert (everything.top1.value, restricted.top1.value) == (0.6, 0.9)
    assert [(mistake.name, mistake.predicted) for mistake in restricted.mistakes] == [("9", 0)]
    assert 0.5 < restricted.mistakes[0].score <= 1
    assert (everything.data_classes_only, restricted.data_classes_only) == (False, True)
    assert everything.candidates == everything.labels == ("red", "green", "blue")
    assert restricted.candidates == ("red", "green")


def test_an_accuracy_among_the_classes_of_the_data_is_not_one_for_an_artifact():
    with pytest.raises(ConfigError, match=r"^data_classes_only is True, and an artifact records .*: evaluate without"):
        _ = evaluate(color_classifier(), ColorDataset(), data_classes_only=True).accuracy


def test_most_confident_mistakes_come_first():
    extra = [LabeledImage(uniform_image(0, 0, 120 + index), (1,), f"more{index}") for index in range(100)]
    mistakes = evaluate(color_classifier(), ColorDataset(extra)).mistakes
    assert [mistake.name for mistake in mistakes[:2]] == ["more99", "more98"]
    assert len(mistakes) == NUM_MISTAKES
    scores = [mistake.score for mistake in mistakes]
    assert scores == sorted(scores, reverse=True)


def test_bad_images_are_counted_and_named_with_reasons():
    evaluation = evaluate(color_classifier(), ColorDataset(UNUSABLE), batch_size=3)
    assert evaluation.num_images == 14
    assert (evaluation.num_evaluated, evaluation.num_unlabeled) == (10, 1)
    assert evaluation.empty_classes == ()
    assert {bad.name: bad.reason for bad in evaluation.bad_images} == {
        "unreadable": "not an image of a supported format",
        "out of range": "label 7 is none of 3 classes",
        "two labels": "more than one label",
    }


CORRECT = LabeledImage(uniform_image(250, 0, 0), (2,), "correct")
WRONG = LabeledImage(uniform_image(0, 0, 250), (2,), "wrong")
MISSING = LabeledImage("missing.png", (0,), "missing")


@settings(max_examples=50)
@given(st.lists(st.sampled_from([CORRECT, WRONG, MISSING, *UNUSABLE]), max_size=12), st.integers(1, 5))
def test_totals_are_consistent_for_any_data(items, batch_size):
    data = ColorDataset()
    data.items = [*items, CORRECT]
    evaluation = evaluate(color_classifier(), data, batch_size=batch_size)
    names = [item.name for item in data.items]
    bad = [bad.name for bad in evaluation.bad_images]
    assert evaluation.num_images == len(names) == evaluation.num_evaluated + evaluation.num_unlabeled + len(bad)
    assert evaluation.num_evaluated == evaluation.confusion.sum() == sum(name in ("correct", "wrong") for name in names)
    assert np.trace(evaluation.confusion) == names.count("correct")
    assert evaluation.num_unlabeled == names.count("unlabeled")
    expected = {MISSING.name, UNREADABLE.name, OUT_OF_RANGE.name, TWO_LABELS.name}
    assert sorted(bad) == sorted(name for name in names if name in expected)
    occurring = {label for item in data.items for label in item.labels}
    assert evaluation.empty_classes == tuple(name for label, name in enumerate(data.classes) if label not in occurring)


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [(UNREADABLE, ImageError, "not an image"), (OUT_OF_RANGE, DataError, "range: label 7 is none of 3 classes")],
)
def test_bad_images_raise_with_fail(bad, kind, message):
    with pytest.raises(kind, match=message):
        evaluate(color_classifier(), ColorDataset([bad]), on_bad_image="fail")


def test_any_of_several_labels_may_be_correct():
    either = LabeledImage(uniform_image(0, 0, 9), (1, 0), "either")
    neither = LabeledImage(uniform_image(0, 0, 9), (1, 2), "neither")
    data = ColorDataset([either, neither])
    data.is_any_label_correct = True
    evaluation = evaluate(color_classifier(), data)
    assert (evaluation.num_evaluated, np.trace(evaluation.confusion)) == (12, 8)
    assert evaluation.confusion.tolist() == [[6, 0, 0], [0, 0, 4], [0, 0, 2]]


def test_callback_receives_every_evaluated_image():
    calls = []
    evaluate(
        color_classifier(),
        ColorDataset(UNUSABLE),
        on_prediction=lambda item, prediction, target: calls.append((item.name, prediction.labels[target])),
    )
    assert calls[5:] == [("red5", "red"), *((f"green{index}", "green") for index in range(3)), ("blue0", "blue")]


def test_data_that_cannot_be_evaluated_is_an_error_of_one_line():
    with pytest.raises(ConfigError, match="on_bad_image is 'ignore': use skip or fail"):
        evaluate(color_classifier(), ColorDataset(), on_bad_image="ignore")
    with pytest.raises(DataError, match="none of its 0 images could be evaluated"):
        evaluate(color_classifier(), ListedDataset([], ("red",)))
    without_classes = ColorDataset()
    without_classes.classes = ()
    with pytest.raises(DataError, match="no labels: put the images into one folder for each class"):
        evaluate(color_classifier(), without_classes)


def test_unlabeled_images_are_not_classified():
    evaluation = evaluate(color_classifier(), ColorDataset([UNLABELED]), on_bad_image="fail")
    assert (evaluation.num_images, evaluation.num_evaluated, evaluation.num_unlabeled) == (11, 10, 1)
