"""configs/balance_classes.py lowers the logits of frequent classes, and changes nothing else."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import levit
from levit.data.open_data import open_split
from levit.errors import DataError
from tests.conftest import ROOT
from tests.training.tiny import config, trained

PROGRAM = ROOT / "configs" / "balance_classes.py"
COUNTS = {"cat": 2, "dog": 8, "fox": 4}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, (name, count) in enumerate(COUNTS.items()):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
        for index in range(count):
            image = Image.new("RGB", (8, 8), (60 * number, 20 * index, 0))
            image.save(tmp_path / "photos" / "train" / name / f"{index}.png")
    return tmp_path / "photos"


@pytest.mark.slow
def test_logits_are_lowered_by_the_logarithms_of_the_class_frequencies(photos: Path, tmp_path: Path) -> None:
    model = trained(levit.LevitForImageClassificationWithTeacher(config(("fox", "cat", "dog"))))
    model.save_pretrained(tmp_path / "run")
    levit.LevitImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(tmp_path / "run")
    command = [sys.executable, str(PROGRAM), str(tmp_path / "run"), str(photos), "--strength", "2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "balanced")], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "2 to 8 images of a class" in done.stdout
    balanced = levit.load_checkpoint(tmp_path / "balanced").eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        lowered = (model(images).logits - balanced(images).logits).numpy()
    counts = np.array([4, 2, 8])
    np.testing.assert_allclose(lowered, np.tile(2 * np.log(counts / counts.mean()), (2, 1)), atol=1e-5)


def test_a_class_without_images_is_an_error(photos: Path) -> None:
    count_images = runpy.run_path(str(PROGRAM))["count_images"]
    with pytest.raises(DataError, match="has no images of 1 classes of the model"):
        count_images(open_split(photos, "train"), ("cat", "dog", "fox", "owl"))
