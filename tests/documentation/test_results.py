"""docs/results.md: its counts are those of the package, every row is there, and its commands can be given."""

import re
import shlex

import pytest
import typer

from levit.checkpoints.hub import ADDRESSES
from levit.cli import app
from levit.spec.blocks import count_flops, count_parameters
from levit.spec.variants import VARIANTS
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
    """The cells of the rows below a heading."""
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    rows = [line for line in section[1].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


COMMANDS = re.findall(r"levit evaluate [^`]*", re.sub(r"`levit evaluate`|^\$ .*", "", PAGE, flags=re.MULTILINE))
TRAINING = re.findall(r"levit train [^&`]*", re.sub(r"^\$ .*", "", PAGE, flags=re.MULTILINE))


def test_all_39_rows_are_there():
    assert {heading: len(table(heading)) for heading in ROWS} == ROWS
    assert sum(ROWS.values()) == 39
    for heading in ROWS:
        for row in table(heading):
            assert row[-2].startswith("`levit ")
            assert row[-1].startswith("no: ")


def test_mmpretrain_s_names_are_those_of_the_package():
    names = [row[0].strip("`") for row in table("mmpretrain's table")]
    assert names == [name for name in ADDRESSES if name.endswith("in1k")]


@pytest.mark.parametrize("row", table("Size"), ids=lambda row: row[0])
def test_counts_are_those_of_the_package(row):
    variant = VARIANTS[row[0].lower()]
    for cell, heads in zip(row[1:3], (2, 1), strict=True):
        architecture = variant.architecture(num_classifiers=heads)
        assert cell == f"{count_parameters(architecture) / 1e6:.2f} / {count_flops(architecture) / 1e6:.1f}"


@pytest.mark.parametrize("command", COMMANDS + TRAINING)
def test_its_commands_can_be_given(command):
    """They are parsed, not run: the data they need is nowhere near."""
    _, name, *arguments = shlex.split(command)
    parser = typer.main.get_command(app).commands[name]
    given = parser.make_context(name, arguments).params
    assert given["data"].startswith("/data/")
    assert "config" not in given or (ROOT / given["config"]).is_file()


def test_there_is_a_command_for_every_row():
    assert len(COMMANDS) == 39 + 5
    assert len(TRAINING) == 24
