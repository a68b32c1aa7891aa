"""Temperature of the scores, and threshold of rejection with the coverage or precision that was requested."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from levit.data.labeled_images import LabeledImage
from levit.errors import ConfigError, DataError, ImageError, LevitWarning
from levit.evaluation.rejection import (
    find_rejection,
    fit_temperature,
    threshold_for_coverage,
    threshold_for_precision,
)
from levit.evaluation.training_images import hash_contents, sample_training_images, write_training_images
from levit.runtime.classifier import Classifier
from levit.runtime.scores import compute_scores
from tests.data.datasets_on_disk import png
from tests.data.listed_dataset import ListedDataset
from tests.evaluation.color_data import UNLABELED, UNREADABLE, ColorDataset, FlagDataset, RedDataset
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, color_classifier, uniform_image


def draw(temperature, count=20_000):
    """Calibrated logits, multiplied by a temperature, and their targets."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (count, 5)).astype(np.float32)
    cumulative = compute_scores(logits).cumsum(axis=1)
    targets = (generator.random((count, 1)) > cumulative).sum(axis=1).clip(0, 4)
    return logits * np.float32(temperature), targets


def best_score(image, rejection):
    """Score of the predicted class at the temperature of a rejection."""
    logits = color_classifier()(image).logits
    return compute_scores(logits, temperature=rejection.temperature).max()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_temperature_of_multiplied_logits_is_found(temperature):
    assert fit_temperature(*draw(temperature)) == pytest.approx(temperature, rel=0.03)


@given(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=50), st.floats(0.01, 1))
def test_threshold_for_coverage_is_the_highest_that_reaches_it(scores, coverage):
    scores = np.float32(scores)
    threshold = threshold_for_coverage(scores, coverage)
    assert (scores >= threshold).mean() >= coverage - 1e-9
    higher = scores[scores > threshold]
    assert not len(higher) or (scores >= higher.min()).mean() < coverage + 1e-9


@given(st.lists(st.tuples(st.sampled_from([0.125, 0.25, 0.5, 0.75]), st.booleans()), min_size=1), st.floats(0.1, 1))
def test_threshold_for_precision_is_the_lowest_that_reaches_it(pairs, precision):
    scores = np.float32([score for score, _ in pairs])
    is_correct = np.array([is_correct for _, is_correct in pairs])
    precisions = {float(score): is_correct[scores >= score].mean() for score in np.unique(scores)}
    if max(precisions.values()) < precision:
        with pytest.raises(DataError, match="no threshold makes"):
            threshold_for_precision(scores, is_correct, precision)
        return
    threshold = threshold_for_precision(scores, is_correct, precision)
    assert threshold == min(score for score, value in precisions.items() if value >= precision)


def test_a_multi_label_model_is_refused():
    artifact = replace(color_artifact(), is_multi_label=True)
    classifier = Classifier(FakeEngine(artifact, lambda batch: batch.mean((2, 3))))
    with pytest.raises(ConfigError, match="a multi-label model has no rejection: `levit evaluate`"):
        find_rejection(classifier, ColorDataset())


def test_any_of_several_labels_is_correct_where_they_are_alternatives():
    data = ColorDataset()
    red, blue = data.items[0], data.items[-1]
    data.items = [red, blue._replace(labels=(1, 0)), blue._replace(labels=(2, 0)), red._replace(labels=(0, 1))]
    with pytest.raises(DataError, match="more than one label"):
        find_rejection(color_classifier(), data)
    data.is_any_label_correct = True
    assert find_rejection(color_classifier(), data, coverage=1.0).precision == 0.75


def test_scores_stay_with_a_warning_if_every_prediction_is_correct():
    with pytest.warns(LevitWarning, match="^colors: all 6 images are classified correctly, so the temperature of"):
        rejection = find_rejection(color_classifier(), RedDataset())
    assert (rejection.temperature, rejection.precision) == (1, 1)


def test_requested_coverage_and_precision_are_reached():
    """On the images that set the threshold; the recorded figures are those of images that did not."""
    rejection = find_rejection(color_classifier(), ColorDataset(), target_precision=1.0)
    assert (rejection.precision, rejection.images, rejection.data) == (1, 10, "colors")
    accepted = [item.name for item in ColorDataset() if best_score(item.image, rejection) >= rejection.threshold]
    assert accepted == ["red0", "red1", "red2", "red3", "red4", "red5", "blue0"]  # without those labeled green
    for coverage, count in ((0.5, 5), (None, 10)):
        rejection = find_rejection(color_classifier(), ColorDataset(), coverage=coverage)
        assert sum(best_score(item.image, rejection) >= rejection.threshold for item in ColorDataset()) == count


class LuckyDataset(ColorDataset):
    """A hundred red images; half of the labels are correct, at random, whatever the score."""

    def __init__(self) -> None:
        super().__init__()
        is_correct = np.random.default_rng(7).permutation(np.arange(100) % 2)
        self.items = [
            LabeledImage(uniform_image(100 + index, 0, 0), (2,) if correct else (1,), str(index))
            for index, correct in enumerate(is_correct.tolist())
        ]


def test_recorded_coverage_and_precision_are_those_of_images_that_did_not_set_the_threshold():
    data = LuckyDataset()
    rejection = find_rejection(color_classifier(), data, target_precision=0.7)
    is_accepted = np.array([best_score(item.image, rejection) >= rejection.threshold for item in data])
    is_correct = np.array([item.labels == (2,) for item in data])
    assert is_correct[is_accepted].mean() >= 0.7  # a threshold above which luck was good
    assert rejection.precision < 0.6  # other images have no such luck
    assert not rejection.is_in_sample


def test_figures_of_few_images_are_marked_as_in_sample():
    data = ColorDataset()
    data.items = [data.items[index] for index in (0, 1, 6, 9)]
    rejection = find_rejection(color_classifier(), data)
    assert rejection.is_in_sample
    assert (rejection.coverage, rejection.precision, rejection.images) == (1, 0.75, 4)


def test_images_that_an_exported_model_was_trained_on_are_counted(tmp_path):
    write_training_images(tmp_path, hash_contents([png(7), png(8)]))
    artifact = replace(color_artifact(), training_images=sample_training_images(tmp_path))
    classifier = Classifier(FakeEngine(artifact, lambda batch: batch.mean((2, 3))))
    with pytest.warns(LevitWarning, match="^colors was trained on 1 of these 11 images: its accuracy on them says lit"):
        find_rejection(classifier, ColorDataset([LabeledImage(png(7), (0,), "seen")]))


def test_images_without_a_label_are_left_out_and_counted():
    with pytest.warns(LevitWarning, match="^colors: 2 images have no label, and are left out$"):
        rejection = find_rejection(color_classifier(), ColorDataset([UNLABELED, UNLABELED]))
    assert rejection == find_rejection(color_classifier(), ColorDataset())


def test_images_that_cannot_be_read_are_left_out_and_counted():
    message = "^colors: 1 image cannot be used, and is left out: colors: unreadable: not an image"
    with pytest.warns(LevitWarning, match=message):
        rejection = find_rejection(color_classifier(), ColorDataset([UNREADABLE]))
    assert rejection == find_rejection(color_classifier(), ColorDataset())
    with pytest.raises(ImageError, match=r"^listed: none of its images can be used: listed: unreadable: not an image"):
        find_rejection(color_classifier(), ListedDataset([UNREADABLE], ("red",)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (FlagDataset(), "^flags: its images have several labels each: give images with one label each"),
        (ListedDataset([UNLABELED], ("red",)), "^listed has no images with a label"),
        (ListedDataset([UNLABELED], ()), "^listed: no labels: put the images into one folder for each class"),
    ],
    ids=["multi-label", "unlabeled", "no classes"],
)
def test_data_without_one_label_per_image_is_refused_before_it_is_classified(data, message):
    with pytest.raises(DataError, match=message):
        find_rejection(color_classifier(), data)


def test_classes_of_other_names_are_mapped():
    data = ColorDataset()
    data.classes = ("blue", "green", "crimson")
    with pytest.raises(DataError, match=r"the model has no label for 1 of 3 classes .*: give `class_map`"):
        find_rejection(color_classifier(), data)
    rejection = find_rejection(color_classifier(), data, class_map={"crimson": "red"})
    assert rejection == find_rejection(color_classifier(), ColorDataset())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coverage": 0.5, "target_precision": 0.5}, "exclude each other"),
        ({"coverage": 0.0}, "coverage is 0.0: give a fraction above 0 and at most 1"),
        ({"target_precision": 95}, "target_precision is 95: give a fraction above 0 and at most 1"),
    ],
)
def test_invalid_requests_are_errors_of_one_line(options, message):
    with pytest.raises(ConfigError, match=message):
        find_rejection(color_classifier(), ColorDataset(), **options)
