"""Default class names: those of ImageNet for 1000 classes, because most published files contain none."""

from __future__ import annotations

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
