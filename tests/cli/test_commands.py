"""The table of commands: each is found, and only the module of the one that is called is imported."""

import re
import subprocess
import sys

import pytest
from typer.main import get_group

from levit.cli import make_app
from levit.cli.commands import COMMANDS
from tests.conftest import ROOT

LIST_MODULES = """
import sys
from levit.cli import main
try:
    main()
except SystemExit:
    pass
print(*sorted(name for name in sys.modules if name.startswith("levit.")))
"""


CLI_PAGE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
DOCUMENTED = [name for name in COMMANDS if name != "val"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_function_of_each_command_has_a_description(name):
    assert COMMANDS[name].load().__doc__


@pytest.mark.parametrize(("name", "file"), [("predict", "predict"), ("similar", "embed"), ("val", "evaluate")])
def test_a_command_imports_no_other_one(name, file):
    run = subprocess.run(
        [sys.executable, "-c", LIST_MODULES, name, "--help"], capture_output=True, text=True, encoding="utf-8"
    )
    imported = run.stdout.splitlines()[-1].split()
    modules = {f"levit.cli.{command.module}" for command in COMMANDS.values()}
    assert f"levit.cli.{file}" in imported
    assert modules & {*imported} == {f"levit.cli.{file}"}
    assert not any(name.startswith("levit.training") for name in imported)


def test_prediction_imports_no_validation_library():
    """Typer 0.29 does, which takes a third of the start of a command."""
    code = LIST_MODULES.replace('levit."', 'pydantic"')
    run = subprocess.run([sys.executable, "-c", code, "models", "--json"], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize("name", [name for name in DOCUMENTED if name != "train"])  # whose page names --help instead
def test_the_documentation_has_a_section_with_every_option(name):
    (section,) = (part for part in CLI_PAGE.split("\n## ") if name in part.partition("\n")[0].split(", "))
    for option in get_group(make_app(name)).commands[name].params:
        names = [name for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
        if names and not getattr(option, "hidden", False):
            assert re.search(rf"`({'|'.join(names)})\b(?!-)", section), names


@pytest.mark.parametrize("name", DOCUMENTED)
def test_arguments_have_the_names_that_the_documentation_uses(name):
    table = CLI_PAGE.partition("\n## ")[0]
    (usage,) = re.findall(rf"^\| `levit {name}\b([^`]*)` \|", table, re.MULTILINE)
    parameters = get_group(make_app(name)).commands[name].params
    arguments = [re.sub(r"[\[\]]|\.{3}", "", item.metavar) for item in parameters if item.opts == [item.name]]
    assert arguments == re.sub(r"--\w+ \w+|[\[\]…]", "", usage).split()
