"""The way from a clone to a model of one's own, command by command, with the time that each takes.

    python benchmarks/journey.py                       # docs/how-to/first-model.md, in the environment of this Python
    python benchmarks/journey.py --fresh               # before it: clone, make demo, and the extras, as a user does
    python benchmarks/journey.py --photos photos/      # with a folder of photos for each class

The commands are those of the page, run in a temporary folder with the four photos of examples/ as holiday/ and, unless
--photos is given, 60 parts of them in three tints as photos/. --record writes the times to results/journey.md.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from recording import RESULTS, write_markdown

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.documentation.console_commands import (  # noqa: E402
    commands_of,
    environment_of,
    write_holiday,
    write_photos,
)

ADDRESS = "https://github.com/levit-developers/levit"  # in place of the folder that was cloned
SECTIONS = ("Look at photos", "Split them", "Train", "Use it")
SETUP = ("make demo", '.venv/bin/pip install "levit[training,quantization]"')


class Step(NamedTuple):
    """A command with its duration in seconds."""

    command: str
    seconds: float


def main() -> None:
    """Run the commands, and print each with its time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fresh", action="store_true", help="clone the repository and install it first (7 GB)")
    parser.add_argument("--photos", type=Path, help="folder with a folder of photos for each class")
    parser.add_argument("--sections", nargs="+", default=SECTIONS, help="sections of the page")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/journey.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="levit-journey-") as name:
        folder, python, steps = Path(name), Path(sys.executable), list[Step]()
        if arguments.fresh:
            clone = folder / "levit"
            steps.append(run(f"git clone {shlex.quote(str(ROOT))} levit", folder, python))
            steps += [run(command, clone, python) for command in SETUP]
            python = clone / ".venv" / "bin" / "python"
        prepare(folder, arguments.photos)
        steps += [run(command, folder, python) for command in commands_of("first-model.md", *arguments.sections)]
    if arguments.record:
        write_markdown(RESULTS / "journey.md", render(steps))


def prepare(folder: Path, photos: Path | None) -> None:
    """Make the two folders that the page describes."""
    write_holiday(folder)
    if photos is None:
        write_photos(folder / "photos")
    else:
        shutil.copytree(photos, folder / "photos")


def run(command: str, folder: Path, python: Path) -> Step:
    """Run a command with the `levit` beside a Python, and print it with its time.

    Raises:
        RuntimeError: the command failed.
    """
    start = time.monotonic()
    result = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment_of(python, folder), capture_output=True, text=True
    )
    seconds = time.monotonic() - start
    if result.returncode:
        raise RuntimeError(f"{command}: {result.stderr[-2000:]}")
    step = Step(command.replace(shlex.quote(str(ROOT)), ADDRESS), seconds)
    print(f"{step.seconds:7.1f} s  {step.command}", flush=True)
    return step


def render(steps: Iterable[Step]) -> str:
    """Table of the commands with their times."""
    rows = [f"| `{step.command}` | {step.seconds:.1f} s |" for step in steps]
    machine = f"{os.cpu_count()} cores; `python benchmarks/journey.py --record`"
    return "\n".join(["| command | time |", "| --- | --- |", *rows, "", machine, ""])


if __name__ == "__main__":
    main()
