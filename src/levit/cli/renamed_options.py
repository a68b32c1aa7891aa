"""Former names of options, which are accepted with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from levit.errors import LevitWarning


def renamed_options(names: Mapping[str, str]) -> dict[str, Any]:
    """Settings of a command that accepts former names of its options; give them to typer as `context_settings`.

    Args:
        names: former name -> present name, without dashes at the front.

    Examples:
        >>> settings = renamed_options({"size": "image-size"})
        >>> settings["token_normalize_func"]("revision")
        'revision'
    """

    def present_name(name: str) -> str:
        if name not in names:
            return name
        warnings.warn(f"--{name} is now --{names[name]}: the former name is deprecated", LevitWarning, stacklevel=2)
        return names[name]

    return {"token_normalize_func": present_name}
