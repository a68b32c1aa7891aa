"""The commands that `make demo` prints at its end."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

RECIPE = re.search(r"^demo:.*?\n\n", (ROOT / "Makefile").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)[0]
COMMANDS = re.findall(r"'(\$\(BIN\)/[^']+)'", RECIPE)


def test_it_prints_three_commands():
    assert len(COMMANDS) == 3


@pytest.mark.skipif(os.name == "nt", reason="needs make and a POSIX shell")
@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs_in_the_clone(command, tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    command = command.replace("$(BIN)", shlex.quote(str(Path(sys.executable).parent)))
    run = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout
