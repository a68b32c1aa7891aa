"""Logits that are not finite: a bad image of an evaluation, an error where every image counts."""

import numpy as np
import pytest

from levit.data.labeled_images import LabeledImage
from levit.errors import ImageError, LevitWarning
from levit.evaluation.evaluator import evaluate
from levit.evaluation.prepared_images import prepare_images
from levit.evaluation.rejection import find_rejection
from levit.runtime.classifier import Classifier
from tests.evaluation.color_data import ColorDataset
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact, uniform_image

BLACK = LabeledImage(uniform_image(0, 0, 0), (0,), "black")


def nan_for_black(batch: np.ndarray) -> np.ndarray:
    means = batch.mean((2, 3))
    return np.where(means.max(axis=1, keepdims=True) == 0, np.nan, means)


def classifier() -> Classifier:
    return Classifier(FakeEngine(color_artifact(), nan_for_black))


def test_an_evaluation_counts_the_image_as_bad():
    evaluation = evaluate(classifier(), ColorDataset([BLACK]))
    assert (evaluation.num_images, evaluation.num_evaluated) == (11, 10)
    (bad,) = evaluation.bad_images
    assert (bad.name, bad.reason) == ("black", "the model gives a logit that is not finite")
    with pytest.raises(ImageError, match="not finite"):
        evaluate(classifier(), ColorDataset([BLACK]), on_bad_image="fail")


def test_the_calibration_of_scores_leaves_the_image_out():
    with pytest.warns(LevitWarning, match=r"1 image cannot be used, .*: the model gives a logit that is not finite"):
        find_rejection(classifier(), ColorDataset([BLACK]))


def test_images_for_the_comparison_of_precisions_raise_an_error():
    engine = classifier().engine
    with (
        prepare_images(ColorDataset([BLACK]), color_artifact().preprocessing, sha256="0" * 64) as images,
        pytest.raises(
            ImageError, match=r"^colors: image 11: fake gives a logit that is not finite, in fp32: the weights"
        ),
    ):
        images.compute_logits(engine)
