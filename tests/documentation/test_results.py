"""docs/results.md: number of rows, parameter counts, and valid commands."""

import re
import shlex

import pytest
import typer

from levit.checkpoints.weight_lookup import URLS
from levit.cli import app
from levit.spec.blocks import count_flops
from levit.spec.variants import VARIANTS
from levit.spec.weight_shapes import count_parameters
from levit.training.recipe import find_recipe
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
ROWS = {
    "CIFAR-10": 5,
    "Flowers-102": 4,
    "ImageNet": 5,
    "ImageNet-ReaL": 5,
    "ImageNet-V2": 5,
    "iNaturalist 2018": 5,
    "iNaturalist 2019": 5,
    "Stanford Cars": 5,
}


def table(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its header."""
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    rows = [line for line in section[1].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


PAGE_WITHOUT_CONSOLE = re.sub(r"^\$ .*", "", PAGE, flags=re.MULTILINE)
EVALUATION_COMMANDS = re.findall(r"levit evaluate [^`]*", PAGE_WITHOUT_CONSOLE.replace("`levit evaluate`", ""))
TRAINING_COMMANDS = re.findall(r"levit train [^&`]*", PAGE_WITHOUT_CONSOLE)


def test_the_page_has_all_39_rows():
    assert {heading: len(table(heading)) for heading in ROWS} == ROWS
    assert sum(ROWS.values()) == 39
    for heading in ROWS:
        for row in table(heading):
            assert row[-2].startswith("`levit ")
            assert row[-1].startswith("not measured: ")


def test_the_names_of_mmpretrain_are_the_names_of_the_package():
    names = [row[0].strip("`") for row in table("mmpretrain's table")]
    assert names == [name for name in URLS if name.endswith("in1k")]


@pytest.mark.parametrize("row", table("Size"), ids=lambda row: row[0])
def test_parameters_and_multiply_adds_are_those_of_the_package(row):
    variant = VARIANTS[row[0].lower()]
    for cell, heads in zip(row[1:3], (2, 1), strict=True):
        architecture = variant.architecture(num_classifiers=heads)
        assert cell == f"{count_parameters(architecture) / 1e6:.2f} / {count_flops(architecture) / 1e6:.1f}"


@pytest.mark.parametrize("command", EVALUATION_COMMANDS + TRAINING_COMMANDS)
def test_commands_are_valid(command):
    """Commands are parsed, but not run, because their data is not available."""
    _, name, *arguments = shlex.split(command)
    parser = typer.main.get_command(app).commands[name]
    options = parser.make_context(name, arguments).params
    assert options["data"].startswith("/data/")
    assert "config" not in options or find_recipe(options["config"]).is_file()


def test_every_row_has_a_command():
    assert len(EVALUATION_COMMANDS) == 39 + 5
    assert len(TRAINING_COMMANDS) == 24
