"""The commands of docs/how-to/first-model.md, run as they are on the page, from photos to a model in int8."""

import csv
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import levit
from tests.conftest import EXAMPLES
from tests.documentation.console_commands import commands_of, run_commands, write_holiday

SECTIONS = ("Look at photos", "Divide them", "Train", "Use it")


def write_photos(folder: Path) -> None:
    """Twenty parts of the example photos in each of three tints, which are the classes."""
    generator = np.random.default_rng(0)
    photos = [Image.open(EXAMPLES / f"{name}.jpg").convert("RGB") for name in ("cat", "espresso", "officer", "rocket")]
    for name, tint in (("blue", (0.5, 0.7, 1.2)), ("green", (0.6, 1.15, 0.6)), ("red", (1.2, 0.6, 0.5))):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            photo = photos[generator.integers(len(photos))]
            side = int(generator.uniform(0.25, 0.6) * min(photo.size))
            left, top = generator.integers(photo.width - side), generator.integers(photo.height - side)
            part = photo.crop((left, top, left + side, top + side)).resize((128, 128))
            pixels = np.asarray(part, np.float32) * tint * generator.uniform(0.7, 1.2) + generator.uniform(-20, 20)
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name / f"{number}.png")


def test_the_page_has_the_commands_of_the_way():
    names = [command.split()[1] for command in commands_of("first-model.md", *SECTIONS)]
    assert {"predict", "split", "train", "evaluate", "export", "calibrate", "embed"} <= {*names}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
def test_each_command_runs_and_the_model_is_better_than_guessing(tmp_path):
    write_holiday(tmp_path)
    write_photos(tmp_path / "photos")
    run_commands(commands_of("first-model.md", *SECTIONS), Path(sys.executable), tmp_path)
    assert (tmp_path / "evaluation" / "report.html").stat().st_size > 5000
    with (tmp_path / "evaluation" / "mistakes.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) <= 6  # of 12; guessing gives 8
    artifact = levit.Classifier(tmp_path / "fast.onnx").artifact
    assert (artifact.precision, artifact.labels) == ("int8", ("blue", "green", "red"))
    assert artifact.rejection is not None
    assert sum(len(files) for _, _, files in os.walk(tmp_path / "by-class")) == 4
