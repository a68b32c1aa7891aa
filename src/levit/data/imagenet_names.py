"""Names of the classes of ImageNet: WordNet ids of names, and one readable name for each id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import chain, count
from typing import NamedTuple

from levit.spec.labels import imagenet_classes

_WORDNET_ID_LENGTH = 9
_MIN_ORDERED = 3  # names in ascending order of their ids from which the order is taken to be meant
_AFTER_ALL = "o"  # after every id of a noun

# Classes whose first synonym is also that of another class.
_DISTINCT_NAMES = {
    "n02012849": "crane (bird)",
    "n03126707": "crane (machine)",
    "n02113186": "Cardigan Welsh corgi",
    "n02963159": "cardigan (garment)",
    "n03710637": "maillot (garment)",
    "n03710721": "tank suit",
}


class _Names(NamedTuple):
    """Names of all classes of ImageNet.

    Attributes:
        by_id: readable name of each WordNet id.
        ids: WordNet ids of each name, in lower case and without punctuation.
        complete: WordNet id of each name that is the whole list of synonyms of one class only, as it is written.
    """

    by_id: dict[str, str]
    ids: dict[str, tuple[str, ...]]
    complete: dict[str, str]


def wordnet_id(name: str) -> str | None:
    """WordNet id of a class of ImageNet, in the form `n01440764`; None for another name, or that of several classes.

    A class is named by its id (also with a suffix), by its readable name, by the list of its synonyms, or by a synonym
    that no other class has. A first synonym takes precedence over other ones.

    Examples:
        >>> wordnet_id("n02099601-golden_retriever"), wordnet_id("crane (bird)"), wordnet_id("crane")
        ('n02099601', 'n02012849', None)
    """
    return _unambiguous_id(name) or _names().complete.get(name)


def wordnet_ids(names: Sequence[str]) -> list[str | None]:
    """WordNet id of each name.

    Some classes of ImageNet have the same name: two are called crane, and two maillot. Where the ids of the other names
    are in ascending order, as in most lists of classes of ImageNet, such a name is the class that keeps the order, if
    it is the only one; and repeated names are as many classes in ascending order.

    Args:
        names: names of different classes.

    Examples:
        >>> wordnet_ids(["tench", "goldfish", "hummingbird", "crane", "zebra"])[3]
        'n02012849'
    """
    identifiers = [_unambiguous_id(name) for name in names]
    known = [identifier for identifier in identifiers if identifier]
    if len(known) >= _MIN_ORDERED and known == sorted(set(known)):
        _identify_by_order(names, identifiers)
    return [identifier or _names().complete.get(name) for identifier, name in zip(identifiers, names, strict=True)]


def readable_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels that people can read and distinguish.

    WordNet ids of ImageNet become names: the first synonym, or another where two classes have the same. Labels that
    occur twice, as the two cranes in ImageNet's list, become these names, too. Other labels stay as they are.

    Args:
        labels: names of different classes.

    Examples:
        >>> readable_names(["n01440764", "n02012849", "dog", "tench, Tinca tinca"])
        ('tench', 'crane (bird)', 'dog', 'tench, Tinca tinca')
    """
    occurrences = Counter(map(normalize_spelling, labels))
    names = []
    for label, identifier in zip(labels, wordnet_ids(labels), strict=True):
        is_unreadable = _id_prefix(label) is not None or occurrences[normalize_spelling(label)] > 1
        names.append(_names().by_id[identifier] if identifier and is_unreadable else label)
    occurrences = Counter(map(normalize_spelling, names))
    return tuple(
        label if occurrences[normalize_spelling(name)] > 1 else name
        for label, name in zip(labels, names, strict=True)
    )  # fmt: skip


def distinct_names(names: Sequence[str]) -> list[str]:
    """Different names for different classes: one that occurs twice becomes readable, or gets a number.

    Args:
        names: names of different classes.

    Examples:
        >>> distinct_names(["n01440764", "dog", "dog"])
        ['n01440764', 'dog', 'dog (2)']
    """
    occurrences, distinct = Counter(names), dict[str, None]()
    for name, readable in zip(names, readable_names(names), strict=True):
        candidate = name if occurrences[name] == 1 else readable
        numbered = chain([candidate], (f"{candidate} ({number})" for number in count(2)))
        distinct[next(name for name in numbered if name not in distinct)] = None
    return list(distinct)


def names_of_ambiguous(name: str) -> tuple[str, ...]:
    """Readable names of the classes of ImageNet that a name may refer to; empty unless there are several.

    Examples:
        >>> names_of_ambiguous("crane")
        ('crane (bird)', 'crane (machine)')
    """
    candidates = _names().ids.get(_key(name), ())
    return tuple(_names().by_id[identifier] for identifier in candidates) if len(candidates) > 1 else ()


def normalize_spelling(name: str) -> str:
    """A name in lower case, with single spaces instead of underscores."""
    return " ".join(name.casefold().replace("_", " ").split())


def _identify_by_order(names: Sequence[str], identifiers: list[str | None]) -> None:
    """Fill in the ids of names that several classes have, between ids in ascending order."""
    for index, name in enumerate(names):
        candidates = _names().ids.get(_key(name), ())
        if identifiers[index] is None and candidates:
            before = next(filter(None, reversed(identifiers[:index])), "")
            after = next(filter(None, identifiers[index + 1 :]), _AFTER_ALL)
            fitting = [one for one in candidates if before < one < after]
            same = slice(index, index + len(fitting))
            if identifiers[same] == [None] * len(fitting) and {*map(_key, names[same])} == {_key(name)}:
                identifiers[same] = fitting


def _unambiguous_id(name: str) -> str | None:
    """WordNet id that a name contains, or that of the only class with this name."""
    candidates = _names().ids.get(_key(name), ())
    return _id_prefix(name) or (candidates[0] if len(candidates) == 1 else None)


def _id_prefix(name: str) -> str | None:
    """WordNet id of ImageNet at the beginning of a name."""
    prefix = name[:_WORDNET_ID_LENGTH]
    is_id = prefix in _names().by_id and (len(name) == len(prefix) or not name[len(prefix)].isalnum())
    return prefix if is_id else None


def _key(name: str) -> str:
    """A name in lower case, without punctuation, as torchvision writes names (crane bird, maillot tank suit)."""
    return " ".join(re.findall(r"[^\s_,()]+", name.casefold()))


@cache
def _names() -> _Names:
    synonyms = {identifier: [name.strip() for name in names.split(",")] for identifier, names in imagenet_classes()}
    by_id = {identifier: _DISTINCT_NAMES.get(identifier, names[0]) for identifier, names in synonyms.items()}
    ids: dict[str, set[str]] = {}
    for identifier, names in imagenet_classes():
        for name in [names, *synonyms[identifier]]:
            ids.setdefault(_key(name), set()).add(identifier)
    ids |= {_key(name): {identifier} for identifier, name in by_id.items()}
    whole = Counter(names for _, names in imagenet_classes())
    complete = {names: identifier for identifier, names in imagenet_classes() if whole[names] == 1}
    return _Names(by_id, {name: tuple(sorted(found)) for name, found in ids.items()}, complete)
