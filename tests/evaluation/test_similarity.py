"""Similar images by their features."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from levit.errors import ConfigError
from levit.evaluation.similarity import Neighbor, most_similar


@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 30), top_k=st.integers(1, 40), center=st.booleans())
def test_the_neighbors_are_those_of_scikit_learn(seed, count, top_k, center):
    generator = np.random.default_rng(seed)
    features, query = (generator.normal(1, 1, shape).astype(np.float32) for shape in ((count, 7), 7))
    neighbors = most_similar(query, features, top_k=top_k, center=center)
    mean = features.mean(axis=0) if center else 0
    if center and count == 1:
        assert neighbors == [Neighbor(0, 0.0)]
        return
    reference = NearestNeighbors(n_neighbors=min(top_k, count), metric="cosine").fit(features - mean)
    distances, _ = reference.kneighbors([query - mean])
    similarities = [neighbor.similarity for neighbor in neighbors]
    np.testing.assert_allclose(similarities, 1 - distances[0], atol=1e-5)
    rows = [neighbor.row for neighbor in neighbors]
    assert len(set(rows)) == len(rows)
    centered, own = (features - mean)[rows].astype(np.float64), (query - mean).astype(np.float64)
    cosines = centered @ own / np.linalg.norm(centered, axis=1) / np.linalg.norm(own)
    np.testing.assert_allclose(similarities, cosines, atol=1e-5)


def test_the_image_itself_has_similarity_one_and_comes_first():
    features = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    first = most_similar(features[4], features)[0]
    assert (first.row, first.similarity) == (4, pytest.approx(1))


def test_equal_images_keep_their_order():
    features = np.float32([[1, 0], [0, 1], [0, 1], [0, 2]])
    assert [neighbor.row for neighbor in most_similar(features[2], features, center=False)] == [1, 2, 3, 0]


def test_no_images_have_no_neighbors():
    assert most_similar(np.zeros(3, np.float32), np.zeros((0, 3), np.float32)) == []


def test_features_without_length_are_similar_to_none():
    similarities = [neighbor.similarity for neighbor in most_similar(np.zeros(2, np.float32), np.eye(2, dtype="f4"))]
    assert np.isfinite(similarities).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"top_k": 0}, "top_k is 0: give at least 1"), ({"query": np.zeros(2, np.float32)}, r"query has shape \[2\]")],
)
def test_wrong_arguments_are_errors(options, message):
    arguments = {"query": np.zeros(3, np.float32), "features": np.zeros((4, 3), np.float32)} | options
    with pytest.raises(ConfigError, match=message):
        most_similar(arguments.pop("query"), arguments.pop("features"), **arguments)
