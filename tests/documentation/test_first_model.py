"""The commands of docs/how-to/first-model.md, run as they are on the page, from photos to a model in int8."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import levit
from tests.conftest import ROOT
from tests.documentation.console_commands import commands_of, run_commands, write_holiday, write_photos

SECTIONS = ("Look at photos", "Split them", "Train", "Use it")
COMMANDS = commands_of("first-model.md", *SECTIONS)
RECORD = ROOT / "benchmarks" / "results" / "journey.md"


def test_the_page_has_the_commands_of_the_way():
    names = [command.split()[1] for command in COMMANDS]
    assert {"predict", "split", "train", "evaluate", "export", "calibrate", "embed"} <= {*names}


@pytest.mark.skipif(not RECORD.exists(), reason="the times are not recorded yet: benchmarks/journey.py --record")
def test_the_recorded_times_are_those_of_its_commands():
    rows = re.findall(r"^\| `(.+)` \| (?:\d+\.\d s|—) \|$", RECORD.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows[-len(COMMANDS) :] == COMMANDS


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_the_benchmark_prints_each_command_with_its_time(tmp_path):
    command = [sys.executable, ROOT / "benchmarks" / "journey.py", "--sections", SECTIONS[0]]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    printed = re.findall(r"^ *\d+\.\d s  (.+)$", run.stdout, re.MULTILINE)
    assert printed == commands_of("first-model.md", SECTIONS[0])


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_each_command_runs_and_the_model_is_better_than_guessing(tmp_path):
    write_holiday(tmp_path)
    write_photos(tmp_path / "photos")
    run_commands(COMMANDS, Path(sys.executable), tmp_path)
    assert (tmp_path / "evaluation" / "report.html").stat().st_size > 5000
    with (tmp_path / "evaluation" / "mistakes.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) <= 6  # of 12; guessing gives 8
    artifact = levit.Classifier(tmp_path / "fast.onnx").artifact
    assert (artifact.precision, artifact.labels) == ("int8", ("blue", "green", "red"))
    assert artifact.rejection is not None
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "by-class")) == 4
