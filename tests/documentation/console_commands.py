"""Commands of a page of the documentation, run in a folder with photos as the page describes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

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


def write_photos(folder: Path) -> None:
    """Twenty parts of the example photos in each of three tints, which are the classes."""
    generator = np.random.default_rng(0)
    photos = [Image.open(EXAMPLES / f"{name}.jpg").convert("RGB") for name in ("cat", "espresso", "officer", "rocket")]
    for name, tint in (("blue", (0.5, 0.7, 1.2)), ("green", (0.6, 1.15, 0.6)), ("red", (1.2, 0.6, 0.5))):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            photo = photos[generator.integers(len(photos))]
            side = int(generator.uniform(0.25, 0.6) * min(photo.size))
            left, top = (int(generator.integers(length - side)) for length in photo.size)
            part = photo.crop((left, top, left + side, top + side)).resize((128, 128))
            pixels = np.asarray(part, np.float32) * tint * generator.uniform(0.7, 1.2) + generator.uniform(-20, 20)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")


def environment_of(python: Path, folder: Path) -> dict[str, str]:
    """Environment in which `levit` is the one beside a Python, offline, with its cache in a folder."""
    environment = os.environ | {"LEVIT_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    return environment | {"PATH": os.pathsep.join((str(python.parent), environment["PATH"]))}


def run_commands(commands: list[str], python: Path, folder: Path) -> dict[str, str]:
    """Run commands in a folder with the `levit` beside a Python, each of which must succeed.

    Returns:
        The standard output of each command.
    """
    environment, output = environment_of(python, folder), {}
    for command in commands:
        result = subprocess.run(["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}{result.stderr[-4000:]}"
        output[command] = result.stdout
    return output
