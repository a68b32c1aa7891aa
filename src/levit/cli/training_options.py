"""Command-line options for the fields of the training option groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from levit.cli.error_message import render_flags
from levit.training.automatic_settings import AUTOMATIC_SETTINGS, FEW_VALIDATION_IMAGES, MANY_IMAGES
from levit.training.option_aliases import ALIASES, SYNONYMS, Alias
from levit.training.option_fields import option_type
from levit.training.options import GROUPS, option_fields

# Titles of the panels of the help page, by option group.
_PANELS = {
    "data": "Data", "model": "Model", "teacher": "Distillation", "optimizer": "Optimization", "schedule": "Schedule",
    "augmentation": "Augmentation", "run": "Run",
}  # fmt: skip

_NAMES = {"model": ("--model", "-m")}  # options with a short name
_FLAGS = {name: f"--{name.replace('_', '-')}" for name in option_fields()}


def with_training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a typer command: its `**values` become one option for each field of the option groups.

    typer derives options from the signature of a command, so the decorator sets `__signature__` (PEP 362). An option
    that is not given is None: then the value of a YAML file, or the default, applies. Fields that the command declares
    itself are left out. Options of timm and DeiT are accepted, too; the help page names those with another name for
    the same value beside the option itself.
    """
    declared = signature(command, eval_str=True).parameters
    generated = [
        Parameter(item.name, Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(item, _PANELS[group]))
        for group, kind in GROUPS.items()
        for item in fields(kind)
        if item.name not in declared
    ]
    generated += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=_alias_annotation(alias))
        for name, alias in ALIASES.items()
    ]
    own = [item for item in declared.values() if item.kind is not Parameter.VAR_KEYWORD]
    parameters = [*(item.replace(kind=Parameter.KEYWORD_ONLY) for item in own), *generated]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {item.name: item.annotation for item in parameters}
    return command


def _annotation(option_field: Field[Any], panel: str) -> Any:
    """The type of an option, its help text with the default, and its panel."""
    kind, choices = option_type(option_field), option_field.metadata["choices"]
    text = render_flags(option_field.metadata["help"], _FLAGS)
    default = None if kind is bool else option_field.default
    notes = [] if default is None else [f"default: {default}"]
    if option_field.name in AUTOMATIC_SETTINGS:
        notes = [_automatic_default(option_field.name, default)]
    if synonyms := SYNONYMS.get(option_field.name):
        notes.append(f"also {', '.join('--' + name.replace('_', '-') for name in synonyms)}")
    if notes:
        text = f"{text} ({'; '.join(notes)})"
    names = _NAMES.get(option_field.name, ())
    details = typer.Option(
        *names, help=text, metavar="|".join(choices) or None, show_default=False, rich_help_panel=panel
    )
    return Annotated[kind | None, details]


def _automatic_default(name: str, default: Any) -> str:
    """Note on an option that is chosen by the number of images, except where there are many."""
    images, many = ("validation images", FEW_VALIDATION_IMAGES) if name == "select" else ("images", MANY_IMAGES)
    return f"default: by the number of {images}" + ("" if default is None else f"; {default} from {many:,} on")


def _alias_annotation(alias: Alias) -> Any:
    """The type of an option of timm or DeiT, which the help page does not list."""
    return Annotated[alias.kind | None, typer.Option(hidden=True)]
