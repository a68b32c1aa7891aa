"""Inspection of labeled data, as `levit data` prints it: counts, sizes, unreadable images, duplicates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, compress
from os import PathLike

import numpy as np

from levit.data.inspection import InspectedImage, SplitSummary, inspect_splits
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_data, open_splits
from levit.evaluation.near_duplicates import (
    EmbeddingProgress,
    SimilarPair,
    check_threshold,
    compute_features,
    find_most_similar,
)
from levit.images.sources import StoredImage
from levit.runtime.cpu_count import usable_cores

_MAX_EXAMPLES = 100


def inspect(
    data: str | PathLike[str] | LabeledDataset | Mapping[str, LabeledDataset],
    *,
    split: str | None = None,
    similarity: float | None = None,
    threads: int | None = None,
    allow_outside: bool = False,
    progress: Callable[[Iterator[InspectedImage]], Iterable[InspectedImage]] = lambda images: images,
    embedding_progress: EmbeddingProgress = lambda embeddings: embeddings,
) -> list[SplitSummary]:
    """Decode every image of labeled data, and count classes, sizes, unreadable images and duplicates.

    Args:
        data: a path or name as for `levit.open_data`, a data set, or data sets by the names of their splits.
        split: the only split; None for the train, validation and test splits that exist.
        similarity: also find near-duplicates: images whose features of the embedded model have at least this cosine, in
            (0, 1]; 0.98 finds edited copies and hardly any other images. None leaves them out.
        threads: number of threads; None for the number of cores that this process may use.
        allow_outside: whether a table of images may name files outside its folder.
        progress: wraps the iterator over the images of each split, for example in a progress bar.
        embedding_progress: wraps the iterator over the features of all images.

    Returns:
        One summary for each split, in the order train, validation, test.

    Raises:
        ConfigError: the similarity is out of range.
        DataError: the data cannot be read, or has no such split.

    Examples:
        >>> import levit
        >>> (summary,) = levit.inspect("examples")
        >>> summary.num_images, summary.num_bad, summary.num_duplicates
        (4, 0, 0)
    """
    if similarity is not None:
        check_threshold(similarity)
    splits = open_inspected(data, split, allow_outside=allow_outside)
    digests: list[bytes] = []

    def with_digests(images: Iterator[InspectedImage]) -> Iterator[InspectedImage]:
        for image in progress(images):
            digests.append(image.digest)
            yield image

    summaries = inspect_splits(splits, threads=threads or usable_cores(), progress=with_digests)
    if similarity is not None:
        images = (item.image for item in chain(*splits.values()))
        _add_similar(summaries, splits, _similar_pairs(images, digests, similarity, threads, embedding_progress))
    return summaries


def open_inspected(
    data: str | PathLike[str] | LabeledDataset | Mapping[str, LabeledDataset],
    split: str | None,
    *,
    allow_outside: bool,
) -> Mapping[str, LabeledDataset]:
    """Open the data of `inspect`, whose arguments these are; data sets by the names of their splits."""
    if isinstance(data, Mapping):
        return data
    if not isinstance(data, str | PathLike):
        return {"all": data}
    if split is None:
        return open_splits(data, allow_outside=allow_outside)
    return {split: open_data(data, split=split, allow_outside=allow_outside)}


def _similar_pairs(
    images: Iterable[StoredImage],
    digests: list[bytes],
    threshold: float,
    threads: int | None,
    progress: EmbeddingProgress,
) -> list[SimilarPair]:
    """Near-duplicates with the most similar earlier image, without images whose content is that of an earlier one."""
    first_of: dict[bytes, int] = {}
    is_new = [not digest or first_of.setdefault(digest, number) == number for number, digest in enumerate(digests)]
    rows, features = compute_features(compress(images, is_new), threads=threads, progress=progress)
    numbers = np.flatnonzero(is_new)[rows].tolist()
    pairs = find_most_similar(features, threshold=threshold)
    return [SimilarPair(numbers[first], numbers[second], similarity) for first, second, similarity in pairs]


def _add_similar(summaries: list[SplitSummary], splits: Mapping[str, LabeledDataset], pairs: list[SimilarPair]) -> None:
    """Count the near-duplicates of each split, and name the first of them."""
    names = _names(splits, {number for pair in pairs for number in pair[:2]})
    ends = 0
    for summary, data in zip(summaries, splits.values(), strict=True):
        start, ends = ends, ends + len(data)
        found = [pair for pair in pairs if start <= pair.second < ends]
        summary.num_similar = len(found)
        for first, second, similarity in found[:_MAX_EXAMPLES]:
            split, name = names[first]
            summary.similar_examples.append((names[second][1], f"{split}: {name}", similarity))


def _names(splits: Mapping[str, LabeledDataset], wanted: set[int]) -> dict[int, tuple[str, str]]:
    """Split and name of some images, by their numbers in all splits together."""
    items = ((split, item.name) for split, data in splits.items() for item in data)
    return {number: entry for number, entry in enumerate(items) if number in wanted}
