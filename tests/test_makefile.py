"""What the Makefile installs, and when, with programs in place of Python and pip that write what they are asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt" or shutil.which("make") is None, reason="needs make and a POSIX shell")

# The version check succeeds; venv makes a folder with this program; an installation is one line in a file.
PYTHON = """#!/bin/sh
case "$2" in
  venv) shift 2; [ "$1" = --clear ] && shift; mkdir -p "$1/bin"; cp "$0" "$1/bin/python"; cp pip "$1/bin/pip" ;;
  pip) shift 3; echo "$*" >> installations ;;
esac
"""
OLD_PYTHON = "#!/bin/sh\nexit 1\n"
FILES = ("Makefile", "pyproject.toml", "hatch_build.py", "constraints.txt")


def write_program(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def clone(tmp_path) -> Path:
    """Folder with the files that determine what is installed, which are older than what is written there."""
    folder = tmp_path / "a clone"
    (folder / "native").mkdir(parents=True)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    (folder / "native" / "engine.cpp").touch()
    write_program(folder / "python", PYTHON)
    write_program(folder / "pip", "#!/bin/sh\necho numpy==2.4.6\necho nvidia-cublas==13\n")
    make_older(folder)
    return folder


def make_older(folder: Path) -> None:
    """Give all files the same time in the past."""
    for file in folder.rglob("*"):
        os.utime(file, (1e9, 1e9))


def make(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "CONSTRAINTS")}
    command = ["make", "PYTHON=./python", *arguments]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)


def installations(clone: Path, *arguments: str) -> list[str]:
    """What a call of make installs; its files are then old, so that a change is newer without a pause."""
    file = clone / "installations"
    file.unlink(missing_ok=True)
    run = make(clone, *arguments)
    assert run.returncode == 0, run.stderr
    lines = file.read_text().splitlines() if file.exists() else []
    make_older(clone)
    return [line.partition("--constraint ")[2] for line in lines]


def test_an_old_python_is_one_line_with_the_way_out(clone):
    write_program(clone / "python", OLD_PYTHON)
    run = make(clone, "demo")
    assert run.returncode != 0
    assert run.stderr.splitlines()[0] == "./python is not Python 3.11 or later: make demo PYTHON=python3.12"
    assert not (clone / ".venv").exists()


def test_an_old_python_in_the_environment_is_one_line_with_the_way_out(clone):
    installations(clone, ".venv/.base")
    write_program(clone / ".venv" / "bin" / "python", OLD_PYTHON)
    lines = make(clone, "quick").stderr.splitlines()
    way_out = "rm -r .venv; make quick PYTHON=python3.12"
    assert lines[0] == f".venv/bin/python is not Python 3.11 or later: {way_out}"


def test_the_version_is_that_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11"
    assert "sys.version_info < (3, 11)" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_what_is_installed_is_not_installed_again(clone):
    assert installations(clone, ".venv/.dev") == ["constraints.txt --editable .[dev]"]
    assert installations(clone, ".venv/.dev", ".venv/.serve", ".venv/.base") == []


@pytest.mark.parametrize("file", ["pyproject.toml", "hatch_build.py", "constraints.txt", "native/engine.cpp"])
def test_a_changed_file_installs_again(clone, file):
    installations(clone, ".venv/.base")
    (clone / file).touch()
    assert installations(clone, ".venv/.base") == ["constraints.txt --editable ."]


def test_other_constraints_install_again_and_no_constraints_upgrade(clone):
    newest = "/dev/null --upgrade --upgrade-strategy eager"
    installations(clone, ".venv/.dev")
    assert installations(clone, ".venv/.dev", "CONSTRAINTS=/dev/null") == [f"{newest} --editable .[dev]"]
    assert installations(clone, ".venv/.dev", "CONSTRAINTS=/dev/null") == []
    assert installations(clone, ".venv/.base") == ["constraints.txt --editable ."]


def test_constraints_are_written_from_the_newest_versions(clone):
    installations(clone, ".venv/.dev")
    newest = "/dev/null --upgrade --upgrade-strategy eager"
    assert installations(clone, "constraints") == [f"{newest} --editable .[dev]", f"{newest} --editable .[docs]"]
    lines = (clone / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["numpy==2.4.6"]
    assert lines[0].startswith("# Versions that all tests passed with")


def test_clean_removes_what_the_targets_create(clone):
    ignored = [line for line in (ROOT / ".gitignore").read_text().splitlines() if line not in ("runs/", "*.egg-info/")]
    for name in ignored:
        file = clone / name.replace("*", "") / "file" if name.endswith("/") else clone / name.replace("*", "")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert make(clone, "clean").returncode == 0
    left = {file.relative_to(clone).as_posix() for file in clone.rglob("*") if file.is_file()}
    assert left == {*FILES, "native/engine.cpp", "python", "pip"}
