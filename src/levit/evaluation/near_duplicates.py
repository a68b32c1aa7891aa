"""Near-duplicates: images whose pooled features are almost the same, such as edited copies and bursts of one scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.errors import ConfigError
from levit.images.sources import StoredImage
from levit.runtime.classifier import Classifier
from levit.runtime.prediction import Embedding

EmbeddingProgress = Callable[[Iterator[Embedding]], Iterable[Embedding]]

THRESHOLD = 0.98
"""Default smallest similarity of near-duplicates; see the table in docs/cli.md."""

_BLOCK_ROWS = 1024


class SimilarPair(NamedTuple):
    """Two images with almost the same features.

    Attributes:
        first: row of the features of the first image.
        second: row of the features of the second image, larger than `first`.
        similarity: cosine of the angle between the features of both, in [-1, 1].
    """

    first: int
    second: int
    similarity: float


def find_near_duplicates(features: NDArray[np.float32], *, threshold: float = THRESHOLD) -> list[SimilarPair]:
    """Find the pairs of images whose features have at least this cosine.

    Unlike `levit.evaluation.similarity.most_similar`, nothing is subtracted from the features, so that the similarity
    of two images does not depend on the others. The time grows with the square of the number of images.

    Args:
        features: pooled features of the images, float32 [N, C], as from `levit.Classifier.embed`.
        threshold: smallest similarity, in (0, 1].

    Returns:
        The pairs, ordered by first and second row.

    Raises:
        ConfigError: the threshold is out of range.

    Examples:
        >>> features = np.float32([[1, 0], [0, 1], [2, 0.1]])
        >>> [(pair.first, pair.second) for pair in find_near_duplicates(features)]
        [(0, 2)]
    """
    check_threshold(threshold)
    unit, pairs = unit_vectors(features), []
    for start in range(0, len(unit), _BLOCK_ROWS):
        block = unit[start : start + _BLOCK_ROWS]
        for other in range(start, len(unit), _BLOCK_ROWS):
            similarities = block @ unit[other : other + _BLOCK_ROWS].T
            for row, column in np.argwhere(similarities >= threshold).tolist():
                if start + row < other + column:
                    similarity = min(1.0, float(similarities[row, column]))
                    pairs.append(SimilarPair(start + row, other + column, similarity))
    return sorted(pairs)


def find_similar_images(
    images: Iterable[StoredImage],
    *,
    threshold: float = THRESHOLD,
    progress: EmbeddingProgress = lambda embeddings: embeddings,
) -> list[SimilarPair]:
    """Find the near-duplicates among images, by the features of the embedded model.

    Args:
        images: the images; those that cannot be read are similar to none.
        threshold: as for `find_near_duplicates`.
        progress: wraps the iterator over the features, for example in a progress bar.

    Returns:
        The pairs, whose rows are the numbers of the images.

    Raises:
        ConfigError: the threshold is out of range.
    """
    check_threshold(threshold)
    numbers, rows = list[int](), list[NDArray[np.float32]]()
    with Classifier() as classifier:
        for number, embedding in enumerate(progress(classifier.stream_embeddings(images))):
            if embedding.error is None:
                numbers.append(number)
                rows.append(embedding.features)
    pairs = find_near_duplicates(np.stack(rows), threshold=threshold) if rows else []
    return [SimilarPair(numbers[first], numbers[second], similarity) for first, second, similarity in pairs]


def check_threshold(threshold: float) -> None:
    """Refuse a similarity that is not in (0, 1].

    Raises:
        ConfigError: it is not.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"is {threshold}", source="similarity", hint="give a number above 0, and at most 1")


def unit_vectors(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors of length 1, or 0 where they are 0: float32 of the same shape."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)
