"""Near-duplicates are found by the features of the runtime, within any number of images."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import levit
from levit.errors import ConfigError
from levit.evaluation import near_duplicates
from levit.evaluation.near_duplicates import find_near_duplicates
from tests.conftest import EXAMPLES


def test_pairs_of_all_blocks_are_those_of_the_whole_matrix(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_BLOCK_ROWS", 7)
    features = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = [tuple(pair) for pair in np.argwhere(np.triu(unit @ unit.T, 1) >= 0.9).tolist()]
    assert len(expected) > 10
    assert [pair[:2] for pair in find_near_duplicates(features, threshold=0.9)] == expected


def test_edited_copies_are_found_and_other_photos_are_not():
    names = ("cat", "espresso", "officer", "rocket")
    photos = [Image.open(EXAMPLES / f"{name}.jpg").convert("RGB") for name in names]
    edited = ImageEnhance.Brightness(photos[1].resize((180, 180 * photos[1].height // photos[1].width))).enhance(1.1)
    pairs = find_near_duplicates(levit.Classifier().embed([*photos, edited]))
    assert [pair[:2] for pair in pairs] == [(1, 4)]


def test_features_of_zeros_are_similar_to_nothing():
    assert find_near_duplicates(np.zeros((3, 4), np.float32)) == []
    assert find_near_duplicates(np.zeros((0, 4), np.float32)) == []


@pytest.mark.parametrize("threshold", [0, -1, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_an_error(threshold):
    with pytest.raises(ConfigError, match=r"similarity is .*: give a number above 0"):
        find_near_duplicates(np.ones((2, 2), np.float32), threshold=threshold)
