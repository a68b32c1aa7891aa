"""`levit train`: train or fine-tune a network, with or without a distillation teacher."""

from __future__ import annotations

from typing import Annotated, Any

import typer

import levit
from levit.cli.shared_options import JsonOption
from levit.cli.training_options import with_training_options
from levit.cli.training_summary import print_run
from levit.training.automatic_settings import AUTOMATIC_SETTINGS
from levit.training.option_aliases import resolve_aliases
from levit.training.options import TrainingOptions, option_defaults
from levit.training.recipe import read_recipe
from levit.training.unused_options import without_overridden


def _list_configs(value: bool) -> None:
    """Print the recipes of the package, and end the command."""
    if not value:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from levit.training.recipe import list_recipes

    table = Table(box=None, show_header=False, padding=(0, 2, 1, 0), pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for recipe in list_recipes():
        size = "that of the model" if recipe.image_size is None else f"{recipe.image_size} pixels"
        result = "result" if recipe.is_measured else "expected"
        facts = {"image size": size, "cost": recipe.cost, result: recipe.result}
        text = "\n".join(
            [escape(recipe.purpose), *(f"[dim]{name}:[/] {escape(value)}" for name, value in facts.items())]
        )
        table.add_row(recipe.name, text)
    Console(highlight=False).print(table)
    raise typer.Exit


@with_training_options
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="[DATA]", help="Training set: labeled images that `levit data` reads.", show_default=False
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="RUN", help="Run directory; default: runs/train, runs/train2, …"),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE.yaml", help="Recipe of this package, or a file of options, one on each line."),
    ] = None,
    list_configs: Annotated[
        bool, typer.Option("--list-configs", callback=_list_configs, is_eager=True, help="List the recipes and exit.")
    ] = False,
    as_json: JsonOption = False,
    **values: Any,
) -> None:
    """Train or fine-tune a network; an interrupted run that is resumed ends with the same weights.

    Settings that are not given follow from the number of images; the first lines of the run name them. With --config,
    a recipe sets the options, and an option on the command line overrides it. Options of timm and DeiT are accepted
    where they mean the same (--clip-mode agc --clip-grad 0.01). Several GPUs or machines: torchrun --nproc-per-node 2
    -m levit train …
    """
    given = resolve_aliases({name: value for name, value in values.items() if value is not None})
    given |= {name: value for name, value in (("data", data), ("out", out)) if value is not None}
    chosen, names = given, frozenset(given)
    if config is not None:
        recipe, defaults = read_recipe(config), option_defaults()
        chosen = without_overridden(recipe, given, defaults | recipe | given, defaults) | given
        names = frozenset(chosen) | AUTOMATIC_SETTINGS  # a recipe is complete
    if not chosen.get("data") and not chosen.get("resume"):
        raise typer.BadParameter("give DATA, the training set; or --config RUN/args.yaml of an earlier run")
    if not chosen.get("resume"):  # otherwise an option may have its effect beside those of the resumed run
        TrainingOptions.from_flat(**chosen)
    levit.train  # noqa: B018  # its error names the extra that is not installed
    from levit.training.train import run_training

    result = run_training(chosen, given=names)
    if result.is_main:
        print_run(result, as_json=as_json)
        if not result.is_complete:
            raise typer.Exit(130)
