"""Wrong usage of the command line as one line."""

from __future__ import annotations

from typer._click.exceptions import BadParameter, ClickException, NoArgsIsHelpError, UsageError

from levit.errors import printable


def usage_message(error: ClickException) -> str:
    """Message of an error of the command line's parser; the help text itself where arguments are missing altogether.

    Args:
        error: the error.

    Returns:
        One line of printable characters with the command whose help explains the usage, or the help text.

    Examples:
        >>> usage_message(BadParameter("--json and --csv exclude each other: give one of them"))
        'levit: --json and --csv exclude each other: give one of them'
    """
    if isinstance(error, NoArgsIsHelpError):
        return error.format_message()
    is_of_command = isinstance(error, BadParameter) and error.param is None and error.param_hint is None
    reason = error.message if is_of_command else error.format_message()
    message = printable(" ".join(reason.split()).rstrip(".").replace("Value error, ", ""))  # words of pydantic
    context = error.ctx if isinstance(error, UsageError) else None
    hint = "" if context is None or is_of_command else f": see {context.command_path} --help"
    return f"levit: {message[:1].lower() + message[1:]}{hint}"
