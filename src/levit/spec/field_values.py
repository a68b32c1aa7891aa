"""Checks of values from configuration files and metadata, which may be of any type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from operator import index
from typing import TYPE_CHECKING, Any, TypeGuard

from levit.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_INTEGER = 2**31 - 1  # far above any size of a network, and below what arithmetic in float or int64 can represent

_MAX_CHARACTERS = 100


def shown(value: object) -> str:
    """Shortened representation of a value for error messages.

    Examples:
        >>> shown("cat"), shown([0] * 1000)[-7:]
        ("'cat'", ' 0, 0,…')
    """
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"


def plain(value: Any) -> Any:
    """Convert a number or an array of NumPy or torch to Python's; of a list or tuple, each entry.

    Examples:
        >>> import numpy as np
        >>> plain(np.arange(3)), plain((np.int64(4), 8))
        ([0, 1, 2], (4, 8))
    """
    if isinstance(value, list | tuple):
        entries = [entry.tolist() if hasattr(entry, "tolist") else entry for entry in value]
        return tuple(entries) if isinstance(value, tuple) else entries
    return value.tolist() if hasattr(value, "tolist") else value


def make_plain(instance: DataclassInstance) -> None:
    """Convert the fields of a dataclass, which may be frozen, by `plain`."""
    for field in fields(instance):
        object.__setattr__(instance, field.name, plain(getattr(instance, field.name)))


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number within ± `MAX_INTEGER`, and not a bool."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -MAX_INTEGER <= value <= MAX_INTEGER and isfinite(value)


def is_integer(value: object) -> TypeGuard[int]:
    """Return whether a value is an integer within ± `MAX_INTEGER`, and not a bool."""
    return isinstance(value, int) and is_number(value)


def check_integer(name: str, value: object, *, minimum: int) -> int:
    """Check an integer from `minimum` to `MAX_INTEGER`, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not is_integer(value) or value < minimum:
        raise ConfigError(f"{shown(value)} is not a whole number of at least {minimum}", source=name)
    return value


def check_count(name: str, value: Any) -> int:
    """Check an option that counts something, which may be an integer of numpy, and return it.

    Raises:
        ConfigError: it is not an integer, or less than 1; `source` is the name.

    Examples:
        >>> check_count("threads", 0)
        Traceback (most recent call last):
        levit.errors.ConfigError: threads is 0: give a whole number of at least 1
    """
    try:
        count = index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise ConfigError(f"is {shown(value)}", source=name, hint="give a whole number of at least 1")
    return count


def check_number(name: str, value: object) -> float:
    """Check a finite number, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not is_number(value):
        raise ConfigError(f"{shown(value)} is not a number", source=name)
    return value


def check_not_negative(name: str, value: object) -> float:
    """Check a finite number of at least 0, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not is_number(value) or value < 0:
        raise ConfigError(f"{shown(value)} is not a number of at least 0", source=name)
    return value


def check_positive(name: str, value: object) -> float:
    """Check a finite number above 0, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not is_number(value) or value <= 0:
        raise ConfigError(f"{shown(value)} is not a number above 0", source=name)
    return value


def check_fraction(name: str, value: object) -> float:
    """Check a number in [0, 1], with an allowance for rounding, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not is_number(value) or not 0 <= value <= 1 + 1e-9:
        raise ConfigError(f"{shown(value)} is not a fraction from 0 to 1", source=name)
    return value


def check_flag(name: str, value: object) -> bool:
    """Check True or False, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not isinstance(value, bool):
        raise ConfigError(f"{shown(value)} is neither true nor false", source=name)
    return value


def check_text(name: str, value: object) -> str:
    """Check a string, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not isinstance(value, str):
        raise ConfigError(f"{shown(value)} is not a string", source=name)
    return value


def check_mapping(name: str, value: object) -> Mapping[str, Any]:
    """Check a mapping, the object of a JSON file, and return it.

    Raises:
        ConfigError: it is another value; `source` is the name.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f"{shown(value)} is not an object with named fields", source=name)
    return value
