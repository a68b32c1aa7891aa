"""Class names: the defaults, those of ImageNet for 1000 classes, and the number at which top-5 has a meaning."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

IMAGENET_CLASSES = 1000


def default_labels(num_labels: int) -> tuple[str, ...]:
    """Class names for a checkpoint without class names.

    1000 classes are those of ImageNet (ILSVRC 2012, in the order of the WordNet ids, each with its synonyms, as in
    transformers). Other numbers of classes give `LABEL_0`, `LABEL_1`, …, as in transformers.

    Examples:
        >>> default_labels(2), default_labels(1000)[:2]
        (('LABEL_0', 'LABEL_1'), ('tench, Tinca tinca', 'goldfish, Carassius auratus'))
    """
    if num_labels == IMAGENET_CLASSES:
        return tuple(name for _, name in imagenet_classes())
    return tuple(f"LABEL_{index}" for index in range(num_labels))


@cache
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """WordNet id and name of each class of ImageNet, in order; the names are WordNet's synonyms, comma-separated."""
    lines = (files("levit.spec") / "imagenet_classes.tsv").read_text(encoding="utf-8").splitlines()
    return tuple((identifier, name) for identifier, _, name in (line.partition("\t") for line in lines))


def has_top5(labels: Sequence[str]) -> bool:
    """Return whether a model has more than five classes, so that its top-5 accuracy can be less than 1.

    Examples:
        >>> has_top5(["cat", "dog", "fox"])
        False
    """
    return len(labels) > 5
