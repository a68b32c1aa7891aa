"""Fixtures of the command line's tests."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from levit.logs import set_quiet
from tests.cli.console import Console
from tests.runtime.small_model import write_checkpoint


@pytest.fixture
def console(monkeypatch, capsys) -> Iterator[Console]:
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # which --quiet sets
    yield Console(monkeypatch, capsys)
    set_quiet(False)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """Small checkpoint, which compiles fast."""
    return write_checkpoint(tmp_path_factory.mktemp("models") / "fruit")


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    """Current folder with a.png, b.jpg, deep/er/c.png and notes.txt."""
    generator = np.random.default_rng(0)
    folder = tmp_path / "album"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "deep/er/c.png"):
        Image.fromarray(generator.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no photo")
    monkeypatch.chdir(folder)
    return folder
