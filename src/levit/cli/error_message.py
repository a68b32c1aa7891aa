"""Render errors of the library with the flags of the command that was run."""

from __future__ import annotations

import re
from collections.abc import Mapping

from typer.core import TyperArgument, TyperCommand

from levit.errors import ConfigError, LevitError, as_sentence, printable

IMAGE_FLAGS = {"max_pixels": "--max-pixels"}
"""Flags that hints of an `ImageError` name."""

# `name` or `name=value`
_BACKTICKED_NAME = re.compile(r"`([a-z_][a-z0-9_]*)(?:=([^`]*))?`")


def error_message(error: LevitError, flags: Mapping[str, str]) -> str:
    """Message of an error, in which parameters of the command appear as flags.

    Parameters are recognized in backticks in every part of the error, and as the whole source of a `ConfigError`.
    Other text in backticks stays as it is.

    Args:
        error: the error.
        flags: name of a parameter -> flag or placeholder on the command line; see `command_flags`.

    Returns:
        The message of the error on one line of printable characters.

    Examples:
        >>> error = ConfigError("is 0: must be at least 1", source="image_size", hint="leave out `image_size`")
        >>> error_message(error, {"image_size": "--image-size"})
        '--image-size is 0: must be at least 1: leave out --image-size'
    """
    source = error.source
    if source is not None and isinstance(error, ConfigError):
        source = flags.get(source, source)
    source, hint = (render_flags(part, flags) if part is not None else None for part in (source, error.hint))
    return printable(as_sentence(source, render_flags(error.reason, flags), hint))


def render_flags(text: str, flags: Mapping[str, str]) -> str:
    """Replace the parameters, and keyword arguments, that a text names in backticks by their flags.

    Examples:
        >>> render_flags("raise `max_drop`, see `levit info`", {"max_drop": "--max-drop"})
        'raise --max-drop, see `levit info`'
        >>> render_flags("try `lr=0.1` and `resume=False`", {"lr": "--lr", "resume": "--resume"})
        'try --lr 0.1 and --no-resume'
    """
    return _BACKTICKED_NAME.sub(lambda match: _render_flag(match, flags), text)


def _render_flag(match: re.Match[str], flags: Mapping[str, str]) -> str:
    name, value = match.groups()
    if name not in flags:
        return match[0]
    if value in (None, "True"):
        return flags[name]
    return f"--no-{flags[name].removeprefix('--')}" if value == "False" else f"{flags[name]} {value}"


def command_flags(command: TyperCommand) -> dict[str, str]:
    """Flag of each option and placeholder of each argument of a command, by the name of the parameter.

    A parameter of the library has the name of its flag with underscores (`--image-size`, `image_size`).
    """
    flags: dict[str, str] = {}
    for parameter in command.params:
        if isinstance(parameter, TyperArgument):
            placeholder = parameter.metavar or str(parameter.name).upper()
            flags[str(parameter.name)] = placeholder.replace("...", "").strip("[]")
        else:
            flag = next(name for name in parameter.opts if name.startswith("--"))
            flags[str(parameter.name)] = flags[flag.removeprefix("--").replace("-", "_")] = flag
    return flags
