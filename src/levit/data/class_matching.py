"""Matching of the classes of a data set with the labels of a model, by name and never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from levit.data.record_values import normalize_name
from levit.errors import DataError
from levit.spec.labels import imagenet_classes

_MAX_SHOWN = 3  # names in an error
_WORDNET_ID_LENGTH = 9
_MIN_ORDERED = 3  # names in ascending order of their ids from which the order is taken to be meant


@dataclass(frozen=True)
class ClassMatch:
    """Assignment of the classes of a data set to the labels of a model.

    Attributes:
        class_indices: for each class of the data set, the index of the model's label of the same name.
        rule_counts: number of classes matched by each rule: "given" (by `class_map`), "name", "spelling", "ImageNet".
    """

    class_indices: tuple[int, ...]
    rule_counts: Mapping[str, int]


class _Rule(NamedTuple):
    """Rule that matches classes with labels of the same key.

    Attributes:
        name: name of the rule.
        class_keys: key of each class, in order; None if the rule does not apply to it.
        label_indices: indices of the labels with each key.
    """

    name: str
    class_keys: Sequence[str | None]
    label_indices: Mapping[str, Sequence[int]]


def match_classes(
    classes: Sequence[str], labels: Sequence[str], source: str, class_map: Mapping[str, str] | None = None
) -> ClassMatch:
    """Match the classes of a data set with the labels of a model.

    Composed and decomposed forms of Unicode are the same name. The first of these rules that applies to a class
    determines its label:

    1. the label in `class_map`;
    2. the label of the same name;
    3. the label whose name differs only in case, spaces and underscores;
    4. the label of the same ImageNet class, which may be named by its WordNet id (`n01440764`, also with a suffix), by
       the list of its synonyms, or by a synonym that no other class has.

    Args:
        classes: class names of the data set.
        labels: labels of the model.
        source: name of the data set, for errors.
        class_map: for some classes, the label of the model.

    Raises:
        DataError: a class has no label or more than one, or two classes have the same label; the message names
            the first of them.

    Examples:
        >>> match_classes(["Dog", "n02123045"], ["tabby, tabby cat", "dog"], "pets").class_indices
        (1, 0)
    """
    classes, labels = [*map(normalize_name, classes)], [*map(normalize_name, labels)]
    class_map = {normalize_name(name): normalize_name(label) for name, label in (class_map or {}).items()}
    _check_class_map(class_map, classes, labels, source)
    rules = [*_rules(classes, labels)]
    class_indices, rule_counts, unmatched = list[int](), Counter[str](), list[str]()
    for position, name in enumerate(classes):
        if name in class_map:
            class_indices.append(labels.index(class_map[name]))
            rule_counts["given"] += 1
        elif match := _apply_rules(rules, position, name, source):
            class_indices.append(match[1])
            rule_counts[match[0]] += 1
        else:
            unmatched.append(name)
    if unmatched:
        raise DataError(
            f"the model has no label for {len(unmatched)} of {len(classes)} classes ({_quote(unmatched)})",
            source=source,
            hint="give `class_map`, a mapping from class names to labels",
        )
    repeated = [labels[index] for index, count in Counter(class_indices).items() if count > 1]
    if repeated:
        reason = f"several classes are the same label of the model ({_quote(repeated)})"
        raise DataError(reason, source=source, hint="give `class_map`")
    return ClassMatch(tuple(class_indices), dict(rule_counts))


def normalize_class_name(name: str) -> str:
    """Normalize a class name, so that all names that `match_classes` regards as the same class become equal.

    Examples:
        >>> {normalize_class_name(name) for name in ("Golden_retriever", "n02099601", "golden retriever")}
        {'n02099601'}
    """
    name = normalize_name(name)
    return _wordnet_id(name) or _normalize_spelling(name)


def _check_class_map(class_map: Mapping[str, str], classes: Sequence[str], labels: Sequence[str], source: str) -> None:
    if unknown := sorted({*class_map} - {*classes}):
        raise DataError(f"{source} has no class {_quote(unknown)}", source="`class_map`")
    if unknown := sorted({*class_map.values()} - {*labels}):
        raise DataError(f"the model has no label {_quote(unknown)}", source="`class_map`")


def _rules(classes: Sequence[str], labels: Sequence[str]) -> Iterator[_Rule]:
    """Rules in order of precedence."""
    yield _Rule("name", classes, _indices_by_key(labels))
    yield _Rule(
        "spelling",
        [_normalize_spelling(name) for name in classes],
        _indices_by_key([_normalize_spelling(label) for label in labels]),
    )
    yield _Rule("ImageNet", _wordnet_ids(classes), _indices_by_key(_wordnet_ids(labels)))


def _apply_rules(rules: Sequence[_Rule], position: int, name: str, source: str) -> tuple[str, int] | None:
    """Name of the first rule that gives a class one label, with the index of the label; None if no rule applies."""
    is_ambiguous = False
    for rule in rules:
        candidates = rule.label_indices.get(rule.class_keys[position] or "", ())
        if len(candidates) == 1:
            return rule.name, candidates[0]
        is_ambiguous = is_ambiguous or len(candidates) > 1
    if is_ambiguous:
        raise DataError(f"the model has two labels that match {name!r}", source=source, hint="give `class_map`")
    return None


def _indices_by_key(keys: Sequence[str | None]) -> dict[str, list[int]]:
    indices: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        if key is not None:
            indices.setdefault(key, []).append(index)
    return indices


def _normalize_spelling(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


def _wordnet_ids(names: Sequence[str]) -> list[str | None]:
    """WordNet id of each name.

    Two classes of ImageNet are called crane, and two maillot. Where the ids of the other names are in ascending order,
    as in most lists of classes of ImageNet, such a name is the class that keeps the order, if it is the only one.
    """
    identifiers = [_wordnet_id(name) for name in names]
    known = [identifier for identifier in identifiers if identifier]
    if len(known) < _MIN_ORDERED or known != sorted(set(known)):
        return identifiers
    _, ids_by_name = _imagenet_names()
    for index, name in enumerate(names):
        candidates = ids_by_name.get(_normalize_spelling(name), ())
        if identifiers[index] is None and candidates:
            before = next(filter(None, reversed(identifiers[:index])), "")
            after = next(filter(None, identifiers[index + 1 :]), "o")  # after every id of a noun
            options = [one for one in candidates if before < one < after]
            identifiers[index] = options[0] if len(options) == 1 else None
    return identifiers


def _wordnet_id(name: str) -> str | None:
    identifiers, ids_by_name = _imagenet_names()
    prefix = name[:_WORDNET_ID_LENGTH]
    if prefix in identifiers and (len(name) == len(prefix) or not name[len(prefix)].isalnum()):
        return prefix
    candidates = ids_by_name.get(_normalize_spelling(name), ())
    return candidates[0] if len(candidates) == 1 else None


@cache
def _imagenet_names() -> tuple[frozenset[str], dict[str, tuple[str, ...]]]:
    """All WordNet ids of ImageNet, and the ids of the classes that have a name, for every name."""
    ids_by_name: dict[str, set[str]] = {}
    for identifier, names in imagenet_classes():
        for name in [names, *names.split(",")]:
            ids_by_name.setdefault(_normalize_spelling(name), set()).add(identifier)
    identifiers = frozenset(identifier for identifier, _ in imagenet_classes())
    return identifiers, {name: tuple(sorted(ids)) for name, ids in ids_by_name.items()}


def _quote(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_MAX_SHOWN])) + (", …" if len(names) > _MAX_SHOWN else "")
