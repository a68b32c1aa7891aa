"""Option fields: help text, bounds and choices of a dataclass field, and the validation of its value."""

from __future__ import annotations

from dataclasses import Field, field, fields
from math import isfinite
from os import PathLike, fspath
from typing import Any

from levit.errors import ConfigError

_TYPES: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_TYPE_NAMES = {str: "a string", bool: "true or false", int: "an integer", float: "a number"}


def option(
    default: Any,
    text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    changes_result: bool = True,
) -> Any:
    """Define a dataclass field with help text, inclusive bounds, choices, and whether it changes what is computed."""
    metadata = {"help": text, "low": low, "high": high, "choices": choices, "changes_result": changes_result}
    return field(default=default, metadata=metadata)


def option_type(option_field: Field[Any]) -> type:
    """The type of a field's value, `| None` left out: str, int, float or bool.

    Examples:
        >>> from levit.training.option_groups import ModelOptions
        >>> [option_type(option_field).__name__ for option_field in fields(ModelOptions)][:3]
        ['str', 'bool', 'int']
    """
    return _TYPES[str(option_field.type).split(" ")[0]]


def validate_options(group: Any) -> None:
    """Normalize and check every field of a frozen dataclass: paths become strings, integers of float fields floats.

    Raises:
        ConfigError: a value has another type, is out of bounds, or is not one of the choices.
    """
    for option_field in fields(group):
        value = getattr(group, option_field.name)
        if isinstance(value, PathLike):
            value = fspath(value)
        if option_type(option_field) is float and type(value) is int:
            value = float(value)
        object.__setattr__(group, option_field.name, value)
        if value is not None or not str(option_field.type).endswith("None"):
            _check_value(option_field, value)


def _check_value(option_field: Field[Any], value: Any) -> None:
    name, expected = option_field.name, option_type(option_field)
    if type(value) is not expected or (isinstance(value, float) and not isfinite(value)):
        raise ConfigError(f"is {value!r}", source=name, hint=f"must be {_TYPE_NAMES[expected]}")
    low, high, choices = (option_field.metadata[key] for key in ("low", "high", "choices"))
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ConfigError(f"is {value!r}", source=name, hint=f"must be {bounds}")
    if choices and value not in choices:
        raise ConfigError(f"is {value!r}", source=name, hint=f"must be {' or '.join(choices)}")


def parse_text(option_field: Field[Any], value: Any) -> Any:
    """Convert text to a number where the field is a number: YAML 1.1 reads `5e-4` as text.

    Text that is not a number is returned as it is, for `validate_options` to reject.
    """
    expected = option_type(option_field)
    if isinstance(value, str) and expected in (int, float):
        try:
            return expected(value)
        except ValueError:
            return value
    return value
