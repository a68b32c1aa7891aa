"""Names of classes in reports, tables and comparisons: different names for different classes."""

from __future__ import annotations

from functools import lru_cache

from levit.data.class_matching import normalize_class_name
from levit.data.imagenet_names import distinct_names


@lru_cache(maxsize=8)
def shown_names(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the labels of a model, of which those that occur twice become readable, or get a number.

    Examples:
        >>> shown_names(("crane", "dog", "dog"))
        ('crane', 'dog', 'dog (2)')
    """
    return tuple(distinct_names(labels))


@lru_cache(maxsize=8)
def class_keys(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Keys of the labels of a model, which are equal for the same class of two models with other names for it.

    Examples:
        >>> class_keys(("Golden_retriever",)) == class_keys(("n02099601",))
        True
    """
    return tuple(map(normalize_class_name, shown_names(labels)))
