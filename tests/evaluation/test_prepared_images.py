"""Images that are decoded once: the same logits and accuracy as the evaluator's."""

import numpy as np
import pytest

import levit
from levit.data.labeled_images import LabeledImage
from levit.deployment.build import build_artifact
from levit.errors import DataError, ImageError, LevitWarning
from levit.evaluation.prepared_images import agreement, prepare_images
from levit.runtime.classifier import Classifier
from levit.runtime.engine import open_engine
from tests.conftest import random_checkpoint
from tests.data.listed_dataset import ListedDataset
from tests.evaluation.color_data import OUT_OF_RANGE, TWO_LABELS, UNLABELED, UNREADABLE, ColorDataset, FlagDataset
from tests.runtime.small_model import SMALL, color_artifact, color_classifier

SHA256 = "0" * 64


def test_accuracy_is_that_of_the_evaluator():
    classifier, artifact = color_classifier(), color_artifact()
    with prepare_images(ColorDataset(), artifact.preprocessing, sha256=SHA256, labels=artifact.labels) as images:
        assert images.pixels.shape == (10, 16, 16, 3)
        assert not images.pixels.flags.writeable
        logits = images.compute_logits(classifier.engine)
        accuracy = images.accuracy(classifier.engine, logits)
    assert accuracy == levit.evaluate(classifier, ColorDataset()).accuracy


def test_logits_are_those_of_the_classifier():
    model = build_artifact(random_checkpoint(SMALL)).SerializeToString()
    classifier = Classifier(open_engine(model, precision="fp32"))
    noise = np.random.default_rng(0).integers(0, 256, (20, 40, 50, 3), np.uint8)
    data = ColorDataset()
    data.items = [LabeledImage(image, (), str(number)) for number, image in enumerate(noise)]
    with prepare_images(data, classifier.artifact.preprocessing, sha256=SHA256) as images:
        assert images.targets is None
        logits = images.compute_logits(classifier.engine)
        assert images.accuracy(classifier.engine, logits) is None
    expected = np.stack([prediction.logits for prediction in classifier.stream(list(noise))])
    np.testing.assert_array_equal(logits, expected)


def test_images_without_a_label_are_left_out_and_counted():
    artifact = color_artifact()
    with (
        pytest.warns(LevitWarning, match="^colors: 1 image has no label, and is left out$"),
        prepare_images(
            ColorDataset([UNLABELED]), artifact.preprocessing, sha256=SHA256, labels=artifact.labels
        ) as images,
    ):
        assert len(images) == len(images.targets) == 10


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ColorDataset([TWO_LABELS]), "^colors: two labels: more than one label: measuring accuracy needs"),
        (ColorDataset([OUT_OF_RANGE]), "^colors: out of range: label 7 is none of 3 classes"),
        (FlagDataset(), "^flags: its images have several labels each: give images with one label each"),
        (ListedDataset([UNLABELED], ("red",)), "^listed has no images with a label"),
        (ListedDataset([UNLABELED], ()), "^listed: no labels: put the images into one folder for each class"),
    ],
    ids=["several", "out of range", "multi-label", "unlabeled", "no classes"],
)
def test_images_that_accuracy_cannot_be_measured_on_are_refused(data, message):
    artifact = color_artifact()
    with (
        pytest.raises(DataError, match=message),
        prepare_images(data, artifact.preprocessing, sha256=SHA256, labels=artifact.labels),
    ):
        pass


def test_classes_of_other_names_are_mapped():
    classifier, artifact, data = color_classifier(), color_artifact(), ColorDataset()
    data.classes = ("blue", "green", "crimson")
    names = {"crimson": "red"}
    with prepare_images(data, artifact.preprocessing, sha256=SHA256, labels=artifact.labels, class_map=names) as images:
        accuracy = images.accuracy(classifier.engine, images.compute_logits(classifier.engine))
    assert accuracy == levit.evaluate(classifier, ColorDataset()).accuracy


def test_unreadable_images_are_left_out_counted_and_named():
    artifact, missing = color_artifact(), UNREADABLE._replace(image="missing.png")
    for extra, message in (
        ([UNREADABLE], "^colors: 1 image cannot be used, and is left out: colors: unreadable: not an image"),
        ([missing, UNREADABLE], "^colors: 2 images cannot be used, and are left out: missing.png: no such file$"),
    ):
        with (
            pytest.warns(LevitWarning, match=message) as warned,
            prepare_images(
                ColorDataset(extra), artifact.preprocessing, sha256=SHA256, labels=artifact.labels
            ) as images,
        ):
            assert len(images) == len(images.targets) == 10
        assert len(warned) == 1


def test_data_without_an_image_that_can_be_read_is_an_error():
    preprocessing, empty = color_artifact().preprocessing, ColorDataset()
    with (
        pytest.raises(ImageError, match=r"^listed: none of its images can be used: listed: unreadable: not an image"),
        prepare_images(ListedDataset([UNREADABLE]), preprocessing, sha256=SHA256),
    ):
        pass
    empty.items = []
    with pytest.raises(DataError, match="has no images"), prepare_images(empty, preprocessing, sha256=SHA256):
        pass


def test_agreement_is_the_fraction_of_equal_predictions():
    logits = np.float32([[1, 2], [2, 1], [2, 1], [1, 2]])
    assert agreement(logits, np.float32([[3, 4], [4, 3], [4, 3], [4, 3]])) == 0.75


def test_agreement_of_several_labels_is_the_f1_score_of_the_predicted_labels():
    logits = np.float32([[1], [-1], [2], [3]])
    assert agreement(logits, -logits) == 1
    assert agreement(logits, -logits, is_multi_label=True) == 0
    assert agreement(np.float32([[1, 2, -3]]), np.float32([[1, -2, -3]]), is_multi_label=True) == pytest.approx(2 / 3)
    assert agreement(np.float32([[1, -1, -1, -1]]), np.float32([[-1, 1, -1, -1]]), is_multi_label=True) == 0
    assert agreement(-np.ones((1, 3), np.float32), -np.ones((1, 3), np.float32), is_multi_label=True) == 1
