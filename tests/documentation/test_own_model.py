"""The program of docs/how-to/own-model.md runs, and its commands are those of a run."""

import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from levit.cli.training_summary import next_commands
from levit.training.recipe import list_recipes
from levit.training.train import Run
from tests.conftest import EXAMPLES, ROOT
from tests.documentation.console_commands import run_commands

PAGE = (ROOT / "docs" / "how-to" / "own-model.md").read_text(encoding="utf-8")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two classes of three photos, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name, photo in (("apple", "cat"), ("pear", "espresso")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in (1, 2, 3):
            content = (EXAMPLES / f"{photo}.jpg").read_bytes() + bytes(number)  # no copies
            (tmp_path / "photos" / name / f"{number}.jpg").write_bytes(content)
    return tmp_path / "photos"


@pytest.mark.slow
def test_the_program_trains_and_predicts(photos, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(photos.parent / "cache"))
    (program,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert "epochs=10" in program
    exec(compile(program.replace("epochs=10", "epochs=1"), "own-model.md", "exec"), {})
    assert re.search(r"(apple|pear)", capsys.readouterr().out)
    assert (photos.parent / "runs" / "train" / "evaluation" / "report.html").is_file()


def test_the_commands_are_those_that_a_run_prints(photos):
    run = Run(
        folder=photos.parent.joinpath("runs/train").relative_to(photos.parent), is_complete=True, stopped_early=False,
        metric="top1", best=0.9, best_epoch=1, epochs=1, data="photos/", validation=None, is_main=True,
    )  # fmt: skip
    commands = [f"$ {command.strip()}" for command in next_commands(run)[1:]]
    assert "\n".join(commands) in PAGE


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_the_contact_sheet_of_the_page_is_written(photos):
    (command,) = re.findall(r"`(levit data [^`]+)`", PAGE)
    assert "2, of 3 images each" in run_commands([command], Path(sys.executable), photos.parent)[command]
    with Image.open(photos.parent / command.split()[-1]) as sheet:
        assert sheet.width > 100


def test_recipes_on_the_page_exist():
    names = {recipe.name for recipe in list_recipes()}
    assert set(re.findall(r"--config ([a-z0-9-]+)", PAGE)) <= names
