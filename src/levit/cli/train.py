"""`levit train`: learn from labeled images, with a teacher if there is one."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from typing import Annotated, Any

import typer

import levit
from levit.training.options import CHOICES, TrainingOptions, options_from, read_options

# Of the help page, by the first option in each.
_PANELS = {
    "val": "Images", "model": "Network", "teacher": "Teacher", "epochs": "Optimization", "crop": "Augmentation",
    "metric": "Run",
}  # fmt: skip
_KINDS: dict[str, Any] = {"str": str, "int": int, "float": float, "bool": bool}


def train(data: str | None, out: str | None, config: str | None, as_json: bool, **given: Any) -> None:
    """Train, or fine-tune with a teacher; `--resume` goes on to the same result as without the interruption.

    Every option may also stand in a YAML file (--config); what is given here counts more. Several GPUs or machines:
    torchrun --nproc-per-node 2 -m levit train …
    """
    values = read_options(config) if config is not None else {}
    given |= {"data": data, "out": out}
    values |= {name: value for name, value in given.items() if value is not None}
    if not values.get("data"):
        raise typer.BadParameter("give DATA: labeled images to learn from; or --config RUN/args.yaml of an earlier run")
    if not values.get("out"):
        raise typer.BadParameter("give --out: the folder of the run")
    options = options_from(values, config or "the command line")
    result = levit.train(options)
    if not result.is_main:
        return
    if as_json:
        names = ("is_complete", "stopped_early", "metric", "best", "best_epoch", "epochs")
        typer.echo(json.dumps({"run": options.out} | {name: getattr(result, name) for name in names}))
    elif result.is_complete:
        form = "{:.4f}" if result.metric == "loss" else "{:.2f} %"
        best = "" if result.best is None else f": {result.metric} {form.format(result.best)}"
        typer.echo(f"{options.out}{best} in epoch {result.best_epoch}" if best else options.out)
    if not result.is_complete:
        typer.echo(f"stopped, and saved: the same command with --resume goes on with {options.out}", err=True)
        raise typer.Exit(130)


def _signature() -> inspect.Signature:
    """The command's own arguments, and an option for each field: what is not given stays what the file says."""
    named = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(
            "data", named, default=None,
            annotation=Annotated[str | None, typer.Argument(help="Labeled images to learn from.", show_default=False)],
        ),
        inspect.Parameter(
            "out", named, default=None,
            annotation=Annotated[str | None, typer.Option(metavar="RUN", help=_help("out"))],
        ),
        inspect.Parameter(
            "config", named, default=None,
            annotation=Annotated[str | None, typer.Option(metavar="FILE.yaml", help="Options, one a line.")],
        ),
    ]  # fmt: skip
    panel = None
    for one in fields(TrainingOptions):
        panel = _PANELS.get(one.name, panel)
        if one.name not in ("data", "out"):
            kind = _KINDS[str(one.type).split(" ")[0]]
            text = one.metadata["help"]
            if one.default is not None and kind is not bool:
                text = f"{text} (default: {one.default})"
            choices = "|".join(CHOICES[one.name]) if one.name in CHOICES else None
            option = typer.Option(help=text, metavar=choices, show_default=False, rich_help_panel=panel)
            parameters.append(
                inspect.Parameter(one.name, named, default=None, annotation=Annotated[kind | None, option])
            )
    as_json = Annotated[bool, typer.Option("--json", help="What came of it as one JSON object.")]
    parameters.append(inspect.Parameter("as_json", named, default=False, annotation=as_json))
    return inspect.Signature(parameters)


def _help(name: str) -> str:
    return str(next(one.metadata["help"] for one in fields(TrainingOptions) if one.name == name))


train.__signature__ = _signature()  # type: ignore[attr-defined]  # where typer looks for it
train.__annotations__ = {name: one.annotation for name, one in _signature().parameters.items()}
