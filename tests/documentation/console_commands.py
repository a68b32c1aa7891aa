"""Commands of a page of the documentation, run in a folder with photos as the page describes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import EXAMPLES, ROOT


def commands_of(page: str, *sections: str) -> list[str]:
    """Commands in the blocks of some sections of a page, in order."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    parts = {part.partition("\n")[0]: part for part in text.split("\n## ")}
    blocks = [block for section in sections for block in re.findall(r"```console\n(.*?)```", parts[section], re.DOTALL)]
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def write_holiday(folder: Path) -> None:
    """The folder `holiday/` of the page, with the photos in `examples/`."""
    (folder / "holiday").mkdir()
    for photo in EXAMPLES.glob("*.jpg"):
        shutil.copy(photo, folder / "holiday")


def run_commands(commands: list[str], python: Path, folder: Path) -> dict[str, str]:
    """Run commands in a folder with the `levit` beside a Python, each of which must succeed.

    Returns:
        The standard output of each command.
    """
    environment = os.environ | {"LEVIT_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    environment["PATH"] = os.pathsep.join((str(python.parent), environment["PATH"]))
    output = {}
    for command in commands:
        result = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}{result.stderr[-4000:]}"
        output[command] = result.stdout
    return output
