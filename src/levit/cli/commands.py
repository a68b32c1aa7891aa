"""The commands, in the order of `levit --help`; the module of each is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module

import typer


@dataclass(frozen=True)
class Command:
    """Where the function of a command is.

    Attributes:
        module: name of the module in `levit.cli`.
        function: name of the function; None for that of the module.
        help: text in place of the function's docstring.
    """

    module: str
    function: str | None = None
    help: str | None = None

    def load(self) -> Callable[..., None]:
        """Import the module, and return the function."""
        function: Callable[..., None] = getattr(import_module(f"levit.cli.{self.module}"), self.function or self.module)
        return function


COMMANDS: Mapping[str, Command] = {
    "predict": Command("predict"),
    "video": Command("video"),
    "embed": Command("embed"),
    "similar": Command("embed", "similar"),
    "explain": Command("explain"),
    "info": Command("info"),
    "models": Command("models"),
    "convert": Command("convert"),
    "export": Command("export"),
    "data": Command("data"),
    "split": Command("split"),
    "evaluate": Command("evaluate"),
    "val": Command("evaluate", help="Alias of evaluate."),
    "train": Command("train"),
    "sparsify": Command("sparsify"),
    "calibrate": Command("calibrate"),
    "benchmark": Command("benchmark"),
    "serve": Command("serve"),
}


def add_commands(app: typer.Typer, names: Iterable[str]) -> None:
    """Import commands, and add them to an application.

    Args:
        app: the application.
        names: names in `COMMANDS`.

    Examples:
        >>> app = typer.Typer()
        >>> add_commands(app, ["predict"])
        >>> [command.name for command in app.registered_commands]
        ['predict']
    """
    for name in names:
        command = COMMANDS[name]
        app.command(name, help=command.help)(command.load())
