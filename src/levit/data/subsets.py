"""Subsets of labeled data: quantization images, and stratified splits into training and validation images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import LabeledDataset, LabeledImage

Indices = NDArray[np.int64]


class Subset:
    """Images of a data set that are chosen by their numbers, in the order of the data set.

    Name, classes, flags and hash are those of the whole data set.

    Args:
        data: the whole data set.
        indices: distinct numbers of images, from 0 to `len(data) - 1`.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> [item.name for item in Subset(open_data("examples"), np.array([3, 0]))]
        ['cat.jpg', 'rocket.jpg']
    """

    def __init__(self, data: LabeledDataset, indices: Indices) -> None:
        self.name, self.classes = data.name, data.classes
        self.is_multi_label, self.is_any_label_correct = data.is_multi_label, data.is_any_label_correct
        self.is_grouped = data.is_grouped
        self._data, self._indices = data, np.sort(indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[LabeledImage]:
        numbers = map(int, self._indices)
        next_number = next(numbers, None)
        for number, item in enumerate(self._data):
            if next_number is None:  # the remaining images are not read
                return
            if number == next_number:
                yield item
                next_number = next(numbers, None)

    def sha256(self) -> str:
        """Hash of the whole data set."""
        return self._data.sha256()


def split_quantization_images(data: LabeledDataset, count: int) -> tuple[Subset, Subset]:
    """Split off the images that determine the ranges of int8 activations.

    These are the first images. In a grouped data set, whose images are ordered class by class, they are evenly spaced,
    so that every class is represented.

    Args:
        data: the data set.
        count: number of quantization images; limited to `len(data)`.

    Returns:
        The quantization images and the remaining images.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> chosen, remaining = split_quantization_images(open_data("examples"), 3)
        >>> [item.name for item in chosen], len(remaining)
        (['cat.jpg', 'espresso.jpg', 'officer.jpg'], 1)
    """
    count = min(count, len(data))
    numbers = np.arange(count)
    chosen = numbers * len(data) // count if data.is_grouped and count else numbers
    return Subset(data, chosen), Subset(data, np.setdiff1d(np.arange(len(data)), chosen))


def without_quantization_images(data: LabeledDataset, count: int) -> LabeledDataset:
    """Data set without the `count` images that `split_quantization_images` chooses; itself if `count` is 0.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> [item.name for item in without_quantization_images(open_data("examples"), 3)]
        ['rocket.jpg']
    """
    return split_quantization_images(data, count)[1] if count else data


def stratified_split(
    labels: Sequence[Sequence[int]], num_classes: int, fraction: float, seed: int, *, is_multi_label: bool = False
) -> tuple[Indices, Indices]:
    """Split images at random into a training and a validation part, class by class.

    The only image with some label stays in the first part, so that every class keeps a training image. If images may
    have several labels, the fraction applies to all images together instead of class by class.

    Args:
        labels: class indices of each image.
        num_classes: number of classes.
        fraction: fraction of the images of each class for the second part, in [0, 1]; above 0, it is at least one image
            of every class that has two or more.
        seed: seed of the random choice.
        is_multi_label: whether an image may have any number of labels.

    Returns:
        Numbers of the images of the first and of the second part, in ascending order.

    Examples:
        >>> training, validation = stratified_split([(0,), (0,), (1,), (1,), (1,)], 2, fraction=0.2, seed=0)
        >>> len(training), len(validation)
        (3, 2)
    """
    remaining = np.zeros(num_classes, np.int64)
    strata: dict[tuple[int, ...], list[int]] = {}
    for index, image_labels in enumerate(labels):
        remaining[list(image_labels)] += 1
        strata.setdefault(() if is_multi_label else tuple(image_labels), []).append(index)
    is_chosen = np.zeros(len(labels), bool)
    for stratum in sorted(strata):
        members = strata[stratum]
        count = max(1, round(fraction * len(members))) if fraction else 0
        for position in np.random.default_rng([seed, *stratum]).permutation(len(members)):
            if not count:
                break
            image_labels = list(labels[members[position]])
            if (remaining[image_labels] > 1).all():
                is_chosen[members[position]] = True
                remaining[image_labels] -= 1
                count -= 1
    return np.flatnonzero(~is_chosen), np.flatnonzero(is_chosen)
