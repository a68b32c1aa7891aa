"""The commands, in the order of `levit --help`; the module of each is imported when it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import typer

from levit.cli.renamed_options import renamed_options


@dataclass(frozen=True)
class Command:
    """Where the function of a command is, and the settings with which typer registers it.

    Attributes:
        module: name of the module in `levit.cli`.
        function: name of the function; None for that of the module.
        settings: keyword arguments of `typer.Typer.command`.
    """

    module: str
    function: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Callable[..., None]:
        """Import the module, and return the function."""
        function: Callable[..., None] = getattr(import_module(f"levit.cli.{self.module}"), self.function or self.module)
        return function


_EXPORT_OPTIONS = {
    "size": "image-size",
    "precision": "weights",
    "calibration": "quantization-data",
    "calibration-images": "quantization-images",
}

COMMANDS: Mapping[str, Command] = {
    "predict": Command("predict"),
    "video": Command("video"),
    "embed": Command("embed"),
    "similar": Command("embed", "similar"),
    "explain": Command("explain"),
    "info": Command("info"),
    "models": Command("models"),
    "convert": Command("convert"),
    "export": Command("export", settings={"context_settings": renamed_options(_EXPORT_OPTIONS)}),
    "data": Command("data"),
    "split": Command("split"),
    "evaluate": Command("evaluate"),
    "val": Command("evaluate", settings={"help": "Alias of evaluate."}),
    "train": Command("train"),
    "sparsify": Command("sparsify"),
    "calibrate": Command(
        "calibrate", settings={"context_settings": renamed_options({"precision": "target-precision"})}
    ),
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
        app.command(name, **command.settings)(command.load())
