"""Assignment of images to training, validation and test parts: by class, with groups of duplicates kept together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Part = str  # "train", "val" or "test"; also the name of the folder

PARTS = ("train", "val", "test")


def group_images(count: int, pairs: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Group images that are connected by pairs of duplicates.

    Args:
        count: number of images.
        pairs: numbers of two images that belong together.

    Returns:
        For each image the number of the first image of its group, int64 [count].

    Examples:
        >>> group_images(5, [(1, 3), (3, 4)]).tolist()
        [0, 1, 2, 1, 1]
    """
    groups = np.arange(count)
    first, second = np.array([*pairs], np.int64).reshape(-1, 2).T
    join_groups(groups, first, second)
    return groups


def join_groups(groups: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> None:
    """Join the groups of pairs of images, in place.

    Args:
        groups: for each image the number of the first image of its group, as from `group_images`.
        first: number of an image of each pair, int64 [pairs].
        second: number of the other image of each pair, int64 [pairs].
    """
    while len(first):
        one, other = groups[first], groups[second]
        is_apart = one != other
        first, second, one, other = first[is_apart], second[is_apart], one[is_apart], other[is_apart]
        np.minimum.at(groups, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(groups, joined := groups[groups]):
            groups[:] = joined


def assign_parts(
    labels: Sequence[Sequence[int]],
    groups: NDArray[np.int64],
    *,
    num_classes: int,
    fractions: Mapping[Part, float],
    seed: int,
    is_multi_label: bool = False,
    chosen: Mapping[Part, Collection[int]] | None = None,
) -> list[Part]:
    """Assign each image to a part, class by class, so that all images of a group are in the same one.

    The labels of a group are those of its first image. A group that is larger than the number of images of a part is
    for training, and every class keeps a training image.

    Args:
        labels: class indices of each image.
        groups: for each image the number of the first image of its group; see `group_images`.
        num_classes: number of classes.
        fractions: fraction of the images for "val" and for "test", each in [0, 1]; a part that is missing gets none.
        seed: seed of the random choice.
        is_multi_label: whether an image may have any number of labels.
        chosen: images that are in "val" or "test" in any case, with their groups; the fractions then apply to the rest.

    Returns:
        "train", "val" or "test" for each image.

    Examples:
        >>> parts = assign_parts([(0,)] * 4 + [(1,)] * 4, np.arange(8), num_classes=2, fractions={"test": 0.25}, seed=0)
        >>> parts[:4].count("test"), parts[4:].count("test")
        (1, 1)
    """
    part_of_group: dict[int, Part] = {}
    for part, indices in (chosen or {}).items():
        part_of_group |= {int(groups[index]): part for index in indices}
    numbers, sizes = np.unique(groups, return_counts=True)
    size_of = dict(zip(numbers.tolist(), sizes.tolist(), strict=True))
    strata: dict[tuple[int, ...], list[int]] = {}
    num_left = np.zeros(num_classes, np.int64)  # groups of each class for training
    for group in size_of:
        if group not in part_of_group:
            strata.setdefault(() if is_multi_label else tuple(labels[group]), []).append(group)
            num_left[list(labels[group])] += 1
    for stratum, members in sorted(strata.items()):
        order = np.random.default_rng([seed, *stratum]).permutation(len(members)).tolist()
        num_images = sum(size_of[group] for group in members)
        for part in ("test", "val"):  # first the test set, which does not depend on the size of the validation set
            fraction = fractions.get(part, 0.0)
            count = max(1, round(fraction * num_images)) if fraction else 0
            for group in (members[position] for position in order):
                is_free = size_of[group] <= count and group not in part_of_group
                if is_free and (num_left[list(labels[group])] > 1).all():
                    part_of_group[group] = part
                    num_left[list(labels[group])] -= 1
                    count -= size_of[group]
    return [part_of_group.get(int(group), "train") for group in groups]
