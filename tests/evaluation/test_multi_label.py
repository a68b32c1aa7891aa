"""Evaluation with any number of labels per image."""

import numpy as np
import pytest

from levit.data.labeled_images import LabeledImage
from levit.errors import DataError, ImageError, LevitWarning
from levit.evaluation.multi_label import evaluate_multi_label
from levit.evaluation.training_images import hash_contents, write_training_images
from levit.runtime.classifier import Classifier
from tests.data.datasets_on_disk import png
from tests.evaluation.color_data import OUT_OF_RANGE, UNREADABLE, FlagDataset
from tests.evaluation.models import multi_label_classifier
from tests.runtime.small_model import color_classifier, uniform_image


def test_data_without_a_label_is_an_error():
    data = FlagDataset()
    data.classes = ()
    with pytest.raises(DataError, match="flags: no image has a label"):
        evaluate_multi_label(multi_label_classifier(), data)


def test_metrics_follow_their_definitions():
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset())
    assert evaluation.labels == ("blue", "red", "green")
    assert (evaluation.num_images, evaluation.num_evaluated, evaluation.support) == (4, 4, (1, 3, 0))
    assert evaluation.average_precision[:2] == (1.0, pytest.approx(1.0))
    assert np.isnan(evaluation.average_precision[2])
    assert evaluation.mean_average_precision == pytest.approx(1.0)
    assert evaluation.best_f1[:2] == (1.0, 1.0)
    assert evaluation.mean_best_f1 == 1.0
    assert evaluation.thresholds[0] > 0.9
    assert evaluation.thresholds[2] == np.inf


def test_classes_that_the_class_map_gives_the_same_label_are_one():
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset(), class_map={"blue": "red"})
    assert evaluation.labels == ("red", "green")
    assert evaluation.support == (3, 0)
    assert evaluation.average_precision[0] == pytest.approx(1)


def test_f1_is_that_of_scores_of_a_half_and_not_of_thresholds_chosen_on_the_images():
    """The blue image is labeled red, so that blue is predicted once wrongly, and red is missed once."""
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset())
    assert evaluation.f1[:2] == pytest.approx((2 / 3, 0.8))
    assert np.isnan(evaluation.f1[2])
    assert evaluation.mean_f1 == pytest.approx((2 / 3 + 0.8) / 2)
    values = evaluation.to_dict()
    assert (values["mean_f1"], values["mean_best_f1"]) == (evaluation.mean_f1, 1)
    assert values["f1"] == {"blue": evaluation.f1[0], "red": evaluation.f1[1], "green": None}
    assert values["best_f1"] == {"blue": 1, "red": 1, "green": None}


def test_a_single_label_model_is_evaluated_with_a_warning():
    with pytest.warns(LevitWarning, match="trained for one label per image: the sigmoids of its logits are evaluated"):
        evaluation = evaluate_multi_label(color_classifier(), FlagDataset())
    assert evaluation.num_evaluated == 4


def test_bad_images_are_named_and_totals_are_consistent():
    evaluation = evaluate_multi_label(multi_label_classifier(), FlagDataset(UNREADABLE, OUT_OF_RANGE))
    assert evaluation.num_images == evaluation.num_evaluated + len(evaluation.bad_images) == 6
    assert {bad.name: bad.reason for bad in evaluation.bad_images} == {
        "unreadable": "not an image of a supported format",
        "out of range": "label 7 is none of 3 classes",
    }
    for bad, kind in ((UNREADABLE, ImageError), (OUT_OF_RANGE, DataError)):
        with pytest.raises(kind):
            evaluate_multi_label(multi_label_classifier(), FlagDataset(bad), on_bad_image="fail")


def test_images_that_the_model_was_trained_on_are_counted(tmp_path, monkeypatch):
    write_training_images(tmp_path, hash_contents([png(7), png(8)]))
    monkeypatch.setattr(Classifier, "path", tmp_path)
    data = FlagDataset(LabeledImage(png(7), (1,), "seen"), LabeledImage(png(9), (1,), "new"))
    with pytest.warns(LevitWarning, match=r"was trained on 1 of these 6 images: its accuracy on them says little"):
        evaluate_multi_label(multi_label_classifier(), data)


def test_label_with_the_largest_error_of_an_image_is_the_mistake():
    """The blue image is labeled red: red is missed with a score of 2 %, blue is predicted without being labeled."""
    (mistake,) = evaluate_multi_label(multi_label_classifier(), FlagDataset()).mistakes
    assert (mistake.name, mistake.label, mistake.is_present) == ("blue, labeled red", 1, True)
    assert mistake.score < 0.05
    unlabeled = LabeledImage(uniform_image(0, 255, 0), (), "green without a label")
    first, _ = evaluate_multi_label(multi_label_classifier(), FlagDataset(unlabeled)).mistakes
    assert (first.name, first.label, first.is_present) == (unlabeled.name, 2, False)
