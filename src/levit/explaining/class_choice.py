"""Selection of the class to explain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from operator import index as as_index
from typing import SupportsIndex

from levit.data.class_matching import normalize_class_name
from levit.errors import ConfigError

_INDEX = re.compile(r"\s*\d{1,9}\s*")


def find_class(requested: str | int, labels: Sequence[str]) -> int:
    """Index of the class to explain.

    Args:
        requested: name of a class, in any spelling that `levit evaluate` accepts; or its index, also as a string.
        labels: names of the classes.

    Raises:
        ConfigError: no class has this name or index, or several classes have the name.

    Examples:
        >>> find_class("Golden_Retriever", ("tabby", "golden retriever"))
        1
    """
    if not isinstance(requested, str):
        requested = _as_integer(requested)
    equal = [index for index, label in enumerate(labels) if label == requested]
    if not equal and isinstance(requested, str) and not _INDEX.fullmatch(requested):
        key = normalize_class_name(requested)
        equal = [index for index, label in enumerate(labels) if normalize_class_name(label) == key]
    if len(equal) == 1:
        return equal[0]
    if equal:
        indices = " or ".join(map(str, equal))
        raise ConfigError(f"is {requested!r}, the name of several classes", source="class_name", hint=f"give {indices}")
    return _find_index(requested, labels)


def _as_integer(requested: SupportsIndex) -> int:
    """An integer of any library, such as numpy, as one of Python."""
    try:
        return as_index(requested)
    except TypeError as error:
        reason = f"is of type {type(requested).__name__}"
        raise ConfigError(reason, source="class_name", hint="give a name or an index") from error


def _find_index(requested: str | int, labels: Sequence[str]) -> int:
    if isinstance(requested, int) or _INDEX.fullmatch(requested):
        index = int(requested)
        if 0 <= index < len(labels):
            return index
        hint = f"indices are 0 to {len(labels) - 1}"
        raise ConfigError(f"is {requested}, and the model has {len(labels)} classes", source="class_name", hint=hint)
    close = get_close_matches(requested.lower(), [label.lower() for label in labels], n=3)
    hint = f"did you mean {', '.join(close)}?" if close else "see `levit info --json` for all classes"
    raise ConfigError(f"unknown class {requested!r}", hint=hint)
