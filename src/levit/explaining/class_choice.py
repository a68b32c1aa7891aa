"""Selection of the class to explain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from operator import index as as_index
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from levit.data.class_matching import normalize_class_name
from levit.errors import ConfigError

_INDEX = re.compile(r"\s*\d{1,9}\s*")


def choose_class(requested: str | int | None, labels: Sequence[str], logits: NDArray[np.float32]) -> int:
    """Index of the class to explain.

    Args:
        requested: name of a class, in any spelling that `levit evaluate` accepts; its index, also as a string; or None
            for the class with the largest logit.
        labels: names of the classes.
        logits: float32 [classes].

    Raises:
        ConfigError: no class has this name or index, or several classes have the name.

    Examples:
        >>> choose_class("Golden_Retriever", ("tabby", "golden retriever"), np.float32([1, 0]))
        1
    """
    return int(np.argmax(logits)) if requested is None else find_class(requested, labels)


def find_class(requested: str | int, labels: Sequence[str]) -> int:
    """Index of the class of a name, or of an index.

    Raises:
        ConfigError: as for `choose_class`.
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
