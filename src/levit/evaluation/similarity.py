"""Similarity of images by their pooled features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.errors import ConfigError


class Neighbor(NamedTuple):
    """Image that is similar to another one.

    Attributes:
        row: row of its features.
        similarity: cosine of the angle between the features of both, in [-1, 1]; 1 for the same direction.
    """

    row: int
    similarity: float


def most_similar(
    query: NDArray[np.float32], features: NDArray[np.float32], *, top_k: int = 10, center: bool = True
) -> list[Neighbor]:
    """Find the most similar images, by the cosine of the angle between features.

    Args:
        query: features of one image, float32 [C].
        features: features of the images, float32 [N, C].
        top_k: largest number of images, at least 1.
        center: subtract the mean of `features` first, because pooled features of all images share a large part.

    Returns:
        The images, most similar first; of equally similar ones, the first is the first.

    Raises:
        ConfigError: `top_k` is less than 1, or `query` has another number of features.

    Examples:
        >>> features = np.float32([[1, 0], [0, 1], [1, 1]])
        >>> [neighbor.row for neighbor in most_similar(features[0], features, top_k=2, center=False)]
        [0, 2]
    """
    if top_k < 1:
        raise ConfigError(f"is {top_k}", source="top_k", hint="give at least 1")
    if query.shape != features.shape[1:]:
        raise ConfigError(f"has shape {list(query.shape)} for features of shape {list(features.shape)}", source="query")
    if not len(features):
        return []
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32) if center else np.float32(0)
    similarities = unit_vectors(features - mean) @ unit_vectors(query - mean)
    best = np.argsort(-similarities, kind="stable")[:top_k]
    return [Neighbor(int(index), float(np.clip(similarities[index], -1, 1))) for index in best]


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1, or 0 where they are 0: float32 of the same shape."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
