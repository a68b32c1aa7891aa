"""The record of training images, and the part of it that an exported file has."""

import base64
import warnings
from dataclasses import replace

import numpy as np
import pytest

from levit.data.labeled_images import LabeledImage
from levit.errors import LevitWarning
from levit.evaluation.evaluator import evaluate
from levit.evaluation.training_images import (
    count_training_images,
    hash_contents,
    sample_training_images,
    write_training_images,
)
from levit.runtime.classifier import Classifier
from levit.spec.artifact import TrainingImages
from tests.data.datasets_on_disk import png
from tests.evaluation.color_data import ColorDataset
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import color_artifact

SEEN = LabeledImage(png(7), (0,), "seen")


def evaluate_trained(record: TrainingImages | None) -> None:
    """Evaluate a model of this record on eleven images, of which one is `SEEN`."""
    artifact = replace(color_artifact(), training_images=record)
    evaluate(Classifier(FakeEngine(artifact, lambda batch: batch.mean((2, 3)))), ColorDataset([SEEN]))


def test_a_small_record_is_copied_completely(tmp_path):
    hashes = hash_contents([png(7), png(8)])
    write_training_images(tmp_path, hashes)
    record = sample_training_images(tmp_path)
    assert record.fraction == 1
    assert np.frombuffer(base64.b64decode(record.hashes), "<u8").tolist() == sorted(hashes.tolist())
    with pytest.warns(LevitWarning, match="^colors was trained on 1 of these 11 images: its accuracy on them says"):
        evaluate_trained(record)


def test_of_a_large_record_evenly_spaced_entries_are_copied(tmp_path):
    hashes = np.arange(1, 20_001, dtype=np.uint64)
    write_training_images(tmp_path, hashes)
    record = sample_training_images(tmp_path)
    copied = np.frombuffer(base64.b64decode(record.hashes), "<u8")
    assert (len(copied), record.fraction) == (8192, 8192 / 20_000)
    assert set(np.diff(copied.astype(int))) == {2, 3}
    first = hash_contents([SEEN.image]).astype("<u8").tobytes()
    with pytest.warns(LevitWarning, match="^colors was trained on at least 1 of these 11 images"):
        evaluate_trained(replace(record, hashes=base64.b64encode(first).decode()))


@pytest.mark.parametrize("hashes", ["no base64", "AAAA", "é"])
def test_without_a_record_or_with_a_damaged_one_nothing_is_counted(tmp_path, hashes):
    assert sample_training_images(tmp_path) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_trained(TrainingImages(hashes=hashes, fraction=1.0))
        evaluate_trained(None)


def test_an_image_that_cannot_be_read_is_not_recorded(tmp_path):
    hashes = hash_contents([b"cat", tmp_path / "missing.png", object()])
    assert (hashes == 0).tolist() == [False, True, True]
    write_training_images(tmp_path, hashes)
    assert count_training_images(tmp_path, hashes) == 1
