"""Class names: those of ImageNet, for the published weights, whose files hold none."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

IMAGENET_CLASSES = 1000


def default_labels(num_labels: int) -> tuple[str, ...]:
    """The names of classes that a file leaves unnamed.

    A thousand of them are ImageNet's (ILSVRC 2012, in the order of the WordNet ids, each with its synonyms, as in
    transformers); otherwise `LABEL_0`, `LABEL_1`, …, as transformers calls them.

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
