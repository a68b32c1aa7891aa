"""configs/collect_outliers.py divides images of several sources into outliers for training and for testing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import ROOT


def write(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Write different images of one size."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(count)
    for number in range(count):
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def test_no_image_is_in_both_splits(tmp_path: Path) -> None:
    write(tmp_path / "openclipart-png" / "animals", 510, (64, 64))
    (tmp_path / "openclipart-png" / "copy.png").write_bytes(
        (tmp_path / "openclipart-png" / "animals" / "0.png").read_bytes()
    )
    (tmp_path / "openclipart-png" / "broken.png").write_bytes(b"no image")
    write(tmp_path / "debian-handbook", 3, (200, 300))
    write(tmp_path / "gimp-help-en", 4, (99, 300))
    write(tmp_path / "deepface" / "tests" / "unit" / "dataset", 5, (80, 80))
    for number, name in enumerate(("Faces", "Faces_easy", "chair")):
        write(tmp_path / "Homework2-Caltech101" / name, 6 + number, (80, 80))
    command = [sys.executable, str(ROOT / "configs" / "collect_outliers.py"), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    counts = {
        f"{split}/{kind}": len(list((tmp_path / split / kind).iterdir()))
        for split in ("test", "train")
        for kind in ("drawings", "screenshots", "faces")
    }
    assert counts == {
        "test/drawings": 500, "test/screenshots": 3, "test/faces": 5,
        "train/drawings": 10, "train/screenshots": 0, "train/faces": 6,
    }  # fmt: skip
    contents = [file.read_bytes() for split in ("test", "train") for file in (tmp_path / split).rglob("*.png")]
    assert len(set(contents)) == len(contents) == 524
