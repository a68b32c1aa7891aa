"""Near-duplicates are found by the features of the runtime, within any number of images."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image, ImageEnhance

import levit
from levit.data.splitting import group_images
from levit.errors import ConfigError
from levit.evaluation import near_duplicates
from levit.evaluation.near_duplicates import SimilarPair, find_most_similar, group_near_duplicates
from tests.conftest import EXAMPLES


def all_pairs(features, threshold):
    """Near-duplicates by the whole matrix of similarities."""
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    similarities = np.triu(unit @ unit.T, 1)
    return [SimilarPair(*pair, similarities[tuple(pair)]) for pair in np.argwhere(similarities >= threshold).tolist()]


@pytest.mark.parametrize("threshold", [0.9, 0.99])
def test_groups_and_most_similar_images_of_all_blocks_are_those_of_the_whole_matrix(monkeypatch, threshold):
    monkeypatch.setattr(near_duplicates, "_BLOCK_ROWS", 7)
    features = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    features[[20, 30, 40]] = features[10]  # equally similar
    pairs = all_pairs(features, threshold)
    assert len(pairs) > 10
    groups = group_near_duplicates(features, threshold=threshold)
    assert groups.tolist() == group_images(60, [pair[:2] for pair in pairs]).tolist()
    earlier = {
        second: [pair for pair in pairs if pair.second == second] for second in sorted({p.second for p in pairs})
    }
    best = [max(of_one, key=lambda pair: round(pair.similarity, 6)) for of_one in earlier.values()]
    found = find_most_similar(features, threshold=threshold)
    assert [pair[:2] for pair in found] == [pair[:2] for pair in best]
    assert [pair.similarity for pair in found] == pytest.approx([pair.similarity for pair in best])


def test_memory_does_not_grow_with_the_number_of_pairs(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_BLOCK_ROWS", 128)
    features = np.ones((1500, 8), np.float32)  # more than a million pairs
    tracemalloc.start()
    try:
        assert set(group_near_duplicates(features).tolist()) == {0}
        assert [pair[:2] for pair in find_most_similar(features)] == [(0, second) for second in range(1, 1500)]
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_edited_copies_are_found_and_other_photos_are_not():
    names = ("cat", "espresso", "officer", "rocket")
    photos = [Image.open(EXAMPLES / f"{name}.jpg").convert("RGB") for name in names]
    edited = ImageEnhance.Brightness(photos[1].resize((180, 180 * photos[1].height // photos[1].width))).enhance(1.1)
    pairs = find_most_similar(levit.Classifier().embed([*photos, edited]))
    assert [pair[:2] for pair in pairs] == [(1, 4)]


def test_equal_features_are_found_at_a_similarity_of_one_despite_rounding():
    features = np.random.default_rng(0).normal(size=(500, 384)).astype(np.float32)
    pairs = find_most_similar(np.concatenate([features, features]), threshold=1)
    assert [pair[:2] for pair in pairs] == [(row, row + 500) for row in range(500)]


def test_features_of_zeros_are_similar_to_nothing():
    for count in (0, 3):
        features = np.zeros((count, 4), np.float32)
        assert find_most_similar(features) == []
        assert group_near_duplicates(features).tolist() == [*range(count)]


@pytest.mark.parametrize("threshold", [0, -1, 1.1, float("nan")])
@pytest.mark.parametrize("find", [find_most_similar, group_near_duplicates])
def test_a_threshold_out_of_range_is_an_error(find, threshold):
    with pytest.raises(ConfigError, match=r"similarity is .*: give a number above 0"):
        find(np.ones((2, 2), np.float32), threshold=threshold)
