"""Near-duplicates: images whose pooled features are almost the same, such as edited copies and bursts of one scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from levit.data.splitting import join_groups
from levit.errors import ConfigError
from levit.evaluation.similarity import unit_vectors
from levit.images.sources import StoredImage
from levit.runtime.classifier import Classifier
from levit.runtime.prediction import Embedding

EmbeddingProgress = Callable[[Iterator[Embedding]], Iterable[Embedding]]

THRESHOLD = 0.98
"""Default smallest similarity of near-duplicates; see the table in docs/results.md."""

_BLOCK_ROWS = 1024
_ROUNDING = 2e-6  # by which the computed similarity of equal features may be below 1


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


def group_near_duplicates(features: NDArray[np.float32], *, threshold: float = THRESHOLD) -> NDArray[np.int64]:
    """Group the images that near-duplicates connect, in memory that does not grow with the number of pairs.

    Unlike `levit.evaluation.similarity.most_similar`, nothing is subtracted from the features, so that the similarity
    of two images does not depend on the others. The time grows with the square of the number of images.

    Args:
        features: pooled features of the images, float32 [N, C], as from `levit.Classifier.embed`.
        threshold: smallest cosine of the features of near-duplicates, in (0, 1].

    Returns:
        For each row the first row of its group, int64 [N].

    Raises:
        ConfigError: the threshold is out of range.

    Examples:
        >>> group_near_duplicates(np.float32([[1, 0], [0, 1], [2, 0.1]])).tolist()
        [0, 1, 0]
    """
    check_threshold(threshold)
    groups = np.arange(len(features))
    for start, other, similarities in _blocks(features, threshold):
        rows, columns = np.nonzero(similarities)
        join_groups(groups, start + rows, other + columns)
    return groups


def find_most_similar(features: NDArray[np.float32], *, threshold: float = THRESHOLD) -> list[SimilarPair]:
    """Find for each image that is a near-duplicate of earlier ones the most similar of these.

    Args:
        features: as for `group_near_duplicates`.
        threshold: as for `group_near_duplicates`.

    Returns:
        The pairs, ordered by the second row; of equally similar images, `first` is the first.

    Raises:
        ConfigError: the threshold is out of range.

    Examples:
        >>> features = np.float32([[1, 0.2], [1, 0], [2, 0.1]])
        >>> [(pair.first, pair.second) for pair in find_most_similar(features)]
        [(0, 1), (1, 2)]
    """
    check_threshold(threshold)
    best, first = np.zeros(len(features), np.float32), np.zeros(len(features), np.int64)
    for start, other, similarities in _blocks(features, threshold):
        highest = similarities.max(axis=0)
        columns = np.flatnonzero(highest > best[other : other + len(highest)])
        best[other + columns] = highest[columns]
        first[other + columns] = start + similarities[:, columns].argmax(axis=0)
    return [SimilarPair(int(first[row]), row, float(best[row])) for row in np.flatnonzero(best).tolist()]


def compute_features(
    images: Iterable[StoredImage],
    *,
    threads: int | None = None,
    progress: EmbeddingProgress = lambda embeddings: embeddings,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Compute the features of the embedded model.

    Args:
        images: the images; those that cannot be read are left out.
        threads: number of threads; None for the number of cores that this process may use.
        progress: wraps the iterator over the features, for example in a progress bar.

    Returns:
        Numbers of the images, int64 [N], and their features, float32 [N, C].
    """
    numbers, rows = list[int](), list[NDArray[np.float32]]()
    with Classifier(threads=threads) as classifier:
        for number, embedding in enumerate(progress(classifier.stream_embeddings(images))):
            if embedding.error is None:
                numbers.append(number)
                rows.append(embedding.features)
    return np.array(numbers, np.int64), np.stack(rows) if rows else np.empty((0, 0), np.float32)


def check_threshold(threshold: float) -> None:
    """Refuse a similarity that is not in (0, 1].

    Raises:
        ConfigError: it is not.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"is {threshold}", source="similarity", hint="give a number above 0, and at most 1")


def _blocks(features: NDArray[np.float32], threshold: float) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield blocks of the matrix of similarities: first row, first column, and the similarities of the pairs, else 0.

    A pair is above the diagonal. Equal features are a pair at every threshold, despite rounding. The first images of
    pairs are ascending over the blocks of the same columns.
    """
    unit, threshold = unit_vectors(features), min(threshold, 1 - _ROUNDING)
    for start in range(0, len(unit), _BLOCK_ROWS):
        block = unit[start : start + _BLOCK_ROWS]
        for other in range(start, len(unit), _BLOCK_ROWS):
            similarities = block @ unit[other : other + _BLOCK_ROWS].T
            pairs = np.where(similarities >= threshold, np.minimum(similarities, 1), np.float32(0))
            yield start, other, np.triu(pairs, 1) if other == start else pairs
