"""docs/results.md: published figures, parameter counts, and valid commands."""

import re
import shlex

import pytest
import typer

from levit.checkpoints.weight_lookup import URLS
from levit.cli import app
from levit.spec.network import count_flops, count_parameters
from levit.spec.variants import VARIANTS
from levit.training.recipe import find_recipe
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
DATA_SETS = 8
MODELS = ["LeViT-128S", "LeViT-128", "LeViT-192", "LeViT-256", "LeViT-384"]
MMPRETRAIN = [name for name in URLS if name.endswith("in1k")]


def section(heading: str) -> str:
    """Text below a heading, up to the next heading."""
    return re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


def table(heading: str) -> list[list[str]]:
    """Cells of the table below a heading, without its header."""
    rows = [line for line in section(heading).splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


PUBLISHED = section("The authors' weights") + section("After fine-tuning")
COMMANDS = re.findall(r"^\$ (levit .*)", PUBLISHED, re.MULTILINE)


def test_own_measurements_come_first():
    assert re.findall(r"^## (.*)", PAGE, re.MULTILINE)[0] == "Measured here"


def test_each_size_has_a_figure_for_each_data_set_that_was_found():
    evaluated, fine_tuned = table("The authors' weights"), table("After fine-tuning")
    assert [row[0] for row in evaluated] == [row[0] for row in fine_tuned] == MODELS
    assert all(re.fullmatch(r"\d\d\.\d\d?( / \d\d\.\d\d?)?", cell) for row in evaluated for cell in row[1:])
    assert all(re.fullmatch(r"\d\d\.\d|—", cell) for row in fine_tuned for cell in row[1:])
    assert sum(cell != "—" for row in fine_tuned for cell in row[1:]) == 8


@pytest.mark.parametrize("row", table("The authors' weights"), ids=lambda row: row[0])
def test_figures_of_the_authors_are_those_of_the_package(row):
    published = f"{100 * VARIANTS[row[0].lower()].published_top1:.1f}"
    assert row[1] == row[2].partition(" / ")[0] == published
    assert abs(float(row[3].partition(" / ")[0]) - float(published)) < 0.2


def test_the_names_of_mmpretrain_are_the_names_of_the_package():
    assert re.findall(r"`(levit-\w+_in1k)`", PUBLISHED) == MMPRETRAIN


@pytest.mark.parametrize("row", table("Size"), ids=lambda row: row[0])
def test_parameters_and_multiply_adds_are_those_of_the_package(row):
    variant = VARIANTS[row[0].lower()]
    for cell, heads in zip(row[1:3], (2, 1), strict=True):
        architecture = variant.architecture(num_classifiers=heads)
        assert cell == f"{count_parameters(architecture) / 1e6:.2f} / {count_flops(architecture) / 1e6:.1f}"


@pytest.mark.parametrize("model", ["facebook/levit-128S", MMPRETRAIN[0]])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_valid(command, model):
    """Commands are parsed, but not run, because their data is not available."""
    _, name, *arguments = shlex.split(command.replace("MODEL", model))
    parser = typer.main.get_command(app).commands[name]
    options = parser.make_context(name, arguments).params
    assert options["data"].startswith("/data/")
    assert "config" not in options or find_recipe(options["config"]).is_file()


def test_each_data_set_has_its_commands():
    kinds = [command.split()[1] for command in COMMANDS]
    assert kinds.count("evaluate") == DATA_SETS
    assert kinds.count("train") == DATA_SETS - 3  # the authors' weights are evaluated on three without training


@pytest.mark.parametrize(
    "command", [line for line in re.findall(r"levit train ([^\n&`]*)", PAGE) if "MODEL" not in line]
)
def test_commands_of_the_runs_are_valid(command):
    parser = typer.main.get_command(app).commands["train"]
    options = parser.make_context("train", shlex.split(command)).params
    assert not options.get("config") or find_recipe(options["config"]).is_file()
