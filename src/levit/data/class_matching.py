"""Matching of the classes of a data set with the labels of a model, by name and never by position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from levit.data.imagenet_names import names_of_ambiguous, normalize_spelling, wordnet_id, wordnet_ids
from levit.data.record_values import normalize_name
from levit.errors import DataError, first_few


@dataclass(frozen=True)
class ClassMatch:
    """Assignment of the classes of a data set to the labels of a model.

    Attributes:
        class_indices: for each class of the data set, the index of the model's label.
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
    4. the label of the same ImageNet class; see `levit.data.imagenet_names.wordnet_ids` for its names.

    Args:
        classes: class names of the data set.
        labels: labels of the model.
        source: name of the data set, for errors.
        class_map: for some classes, the label of the model. Several classes may have a label that it names, as the
            breeds of cats for a model that knows cats only.

    Raises:
        DataError: a class has no label or more than one, or two classes have the same label, which is not in
            `class_map`; the message names the first of them.

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
            f"the model has no label for {len(unmatched)} of {len(classes)} classes ({first_few(map(repr, unmatched))})"
            f"{_explain(unmatched[0])}",
            source=source,
            hint="give `class_map`, a mapping from class names to labels",
        )
    given = {*class_map.values()}
    repeated = [labels[index] for index, count in Counter(class_indices).items() if count > 1]
    repeated = [label for label in repeated if label not in given]
    if repeated:
        reason = f"several classes are the same label of the model ({first_few(map(repr, repeated))})"
        raise DataError(reason, source=source, hint="name their labels in `class_map`")
    return ClassMatch(tuple(class_indices), dict(rule_counts))


def are_same_classes(classes: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether classes and labels match one to one, in any order and by any of their names.

    Examples:
        >>> are_same_classes(["n02123045", "dog"], ["dog", "tabby, tabby cat"])
        True
    """
    try:
        return len(match_classes(classes, labels, "the data").class_indices) == len(labels)
    except DataError:
        return False


def normalize_class_name(name: str) -> str:
    """Normalize a class name, so that all names that `match_classes` regards as the same class become equal.

    Examples:
        >>> {normalize_class_name(name) for name in ("Golden_retriever", "n02099601", "golden retriever")}
        {'n02099601'}
    """
    name = normalize_name(name)
    return wordnet_id(name) or normalize_spelling(name)


def _check_class_map(class_map: Mapping[str, str], classes: Sequence[str], labels: Sequence[str], source: str) -> None:
    if unknown := sorted({*class_map} - {*classes}):
        raise DataError(f"{source} has no class {first_few(map(repr, unknown))}", source="`class_map`")
    if unknown := sorted({*class_map.values()} - {*labels}):
        raise DataError(f"the model has no label {first_few(map(repr, unknown))}", source="`class_map`")


def _rules(classes: Sequence[str], labels: Sequence[str]) -> Iterator[_Rule]:
    """Rules in order of precedence."""
    yield _Rule("name", classes, _indices_by_key(labels))
    yield _Rule(
        "spelling",
        [normalize_spelling(name) for name in classes],
        _indices_by_key([normalize_spelling(label) for label in labels]),
    )
    yield _Rule("ImageNet", wordnet_ids(classes), _indices_by_key(wordnet_ids(labels)))


def _apply_rules(rules: Sequence[_Rule], position: int, name: str, source: str) -> tuple[str, int] | None:
    """Name of the first rule that gives a class one label, with the index of the label; None if no rule applies."""
    is_ambiguous = False
    for rule in rules:
        candidates = rule.label_indices.get(rule.class_keys[position] or "", ())
        if len(candidates) == 1:
            return rule.name, candidates[0]
        is_ambiguous = is_ambiguous or len(candidates) > 1
    if is_ambiguous:
        reason = f"the model has two labels that match {name!r}{_explain(name)}"
        raise DataError(reason, source=source, hint="give `class_map`")
    return None


def _indices_by_key(keys: Sequence[str | None]) -> dict[str, list[int]]:
    indices: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        if key is not None:
            indices.setdefault(key, []).append(index)
    return indices


def _explain(name: str) -> str:
    """What a name of several classes of ImageNet may mean, as the end of an error; empty for another name."""
    names = names_of_ambiguous(name)
    return f", and {name!r} may be {' or '.join(map(repr, names))}" if names else ""
