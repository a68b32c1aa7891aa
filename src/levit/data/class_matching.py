"""The classes of labeled images -> the labels of a model: by name, never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from levit.errors import DataError
from levit.spec.labels import imagenet_classes

_SHOWN = 3  # names in an error


@dataclass(frozen=True)
class ClassMatch:
    """Assignment of the classes of a data set to the labels of a model.

    Attributes:
        class_indices: for each class of the data set, the index of the model's label of the same name.
        rule_counts: number of classes matched by each rule: "given" (by `class_map`), "name", "spelling", "ImageNet".
    """

    class_indices: tuple[int, ...]
    rule_counts: Mapping[str, int]


def match_classes(
    classes: Sequence[str], labels: Sequence[str], name: str, class_map: Mapping[str, str] | None = None
) -> ClassMatch:
    """Match classes with labels.

    A class is the label that `class_map` gives it; or the one of the same name; or of the same name but for case,
    spaces and underscores; or of the same class of ImageNet, which may be named by its WordNet id (`n01440764`, also
    with more behind it), by the list of its synonyms, or by a synonym that no other class has.

    Args:
        classes: names of the data's classes.
        labels: names of the model's.
        name: of the data, for errors.
        class_map: for some classes, the label that is meant.

    Raises:
        DataError: a class has no label, or several, or two classes have the same; the message lists the first of them.

    Examples:
        >>> match_classes(["Dog", "n02123045"], ["tabby, tabby cat", "dog"], "pets").class_indices
        (1, 0)
    """
    class_map = class_map or {}
    _check_map(class_map, classes, labels, name)
    tables: list[tuple[str, Mapping[str, str | None], Mapping[str, Sequence[int]]]] = [
        ("name", {label: label for label in classes}, _group(labels)),
        ("spelling", {label: _plain(label) for label in classes}, _group([_plain(label) for label in labels])),
        ("ImageNet", dict(zip(classes, _wordnet_ids(classes), strict=True)), _group(_wordnet_ids(labels))),
    ]
    found, ways, missing = [], Counter[str](), []
    for one in classes:
        if one in class_map:
            found.append(labels.index(class_map[one]))
            ways["given"] += 1
            continue
        for way, keys, places in tables:
            candidates = places.get(keys[one] or "", [])
            if len(candidates) > 1:
                raise DataError(f"{name}: the model has two labels that could be {one!r}: give --class-map")
            if candidates:
                found.append(candidates[0])
                ways[way] += 1
                break
        else:
            missing.append(one)
    if missing:
        raise DataError(
            f"{name}: the model has no label for {len(missing)} of {len(classes)} classes ({_first(missing)}): give "
            "--class-map, a JSON file of class names and labels"
        )
    twice = [labels[place] for place, count in Counter(found).items() if count > 1]
    if twice:
        raise DataError(f"{name}: several classes are the same label of the model ({_first(twice)}): give --class-map")
    return ClassMatch(tuple(found), dict(ways))


def normalize_class_name(name: str) -> str:
    """The same for all ways of naming a class that `match_classes` takes for one.

    Examples:
        >>> {normalize_class_name(name) for name in ("Golden_retriever", "n02099601", "golden retriever")}
        {'n02099601'}
    """
    return _wordnet_id(name) or _plain(name)


def _check_map(class_map: Mapping[str, str], classes: Sequence[str], labels: Sequence[str], name: str) -> None:
    for kind, given, known in (("class", class_map.keys(), classes), ("label", class_map.values(), labels)):
        strange = sorted({*given} - {*known})
        if strange:
            owner = name if kind == "class" else "the model"
            raise DataError(f"class map: {owner} has no {kind} {_first(strange)}")


def _group(keys: Sequence[str | None]) -> dict[str, list[int]]:
    """Where each key stands."""
    places: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        if key is not None:
            places.setdefault(key, []).append(index)
    return places


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _wordnet_ids(names: Sequence[str]) -> list[str | None]:
    """The class of ImageNet that each name is; in the list of all of them even the two called crane are told apart."""
    if tuple(names) == tuple(name for _, name in imagenet_classes()):
        return [identifier for identifier, _ in imagenet_classes()]
    return [_wordnet_id(name) for name in names]


def _wordnet_id(name: str) -> str | None:
    """The class of ImageNet that a name is."""
    identifiers, synonyms = _imagenet()
    start = name[:9]
    if start in identifiers and (len(name) == len(start) or not name[len(start)].isalnum()):
        return start
    return synonyms.get(_plain(name))


@cache
def _imagenet() -> tuple[frozenset[str], dict[str, str]]:
    """Ids, and every name that belongs to one class only."""
    identifiers = frozenset(identifier for identifier, _ in imagenet_classes())
    owners: dict[str, set[str]] = {}
    for identifier, names in imagenet_classes():
        for name in [names, *names.split(",")]:
            owners.setdefault(_plain(name), set()).add(identifier)
    return identifiers, {name: min(found) for name, found in owners.items() if len(found) == 1}


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (", …" if len(names) > _SHOWN else "")
