"""Environment in which the documentation's programs run: a photo, and a cache of the hub with random weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from levit.checkpoints.writing import write_checkpoint
from levit.spec.preprocessing import Preprocessing
from levit.spec.variants import VARIANTS
from tests.conftest import EXAMPLES, GOLDEN, ROOT, random_checkpoint

TIMM_PREPROCESSING = Preprocessing(resize=248, crop=(224, 224))
COMMIT = "0123456789abcdef0123456789abcdef01234567"

Run = Callable[..., str]


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """One LeViT-128S with random weights in the formats of five libraries; two of them in a cache of the hub."""
    folder = tmp_path_factory.mktemp("weights")
    checkpoint = random_checkpoint(VARIANTS["levit-128s"].architecture())
    for name, to in (("facebook/levit-128S", "transformers"), ("timm/levit_128s.fb_dist_in1k", "timm")):
        # timm's repositories have a crop of 0.9.
        converted = checkpoint if to == "transformers" else replace(checkpoint, preprocessing=TIMM_PREPROCESSING)
        repository = folder / "hub" / f"models--{name.replace('/', '--')}"
        write_checkpoint(converted, repository / "snapshots" / COMMIT, to=to)
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(COMMIT)
    write_checkpoint(checkpoint, folder / "LeViT-128S-96703c44.pth", to="facebook")
    write_checkpoint(checkpoint, folder / "levit-128s_3rdparty_in1k.pth", to="mmpretrain")
    write_checkpoint(checkpoint, folder / "levit-128s.ckpt", to="mindspore")
    for file in ("vit-pytorch/levit.pt", "flax/levit.msgpack"):  # small files of another network
        shutil.copy(GOLDEN / "frameworks" / file, folder)
    return folder


@pytest.fixture
def run(weights, tmp_path) -> Run:
    """Function that runs a Python program offline in a folder with a photo and checkpoints, and returns its output."""
    shutil.copy(EXAMPLES / "cat.jpg", tmp_path)
    for file in filter(Path.is_file, weights.iterdir()):
        (tmp_path / file.name).hardlink_to(file)  # large; Windows needs a privilege for symbolic links
    environment = os.environ | {
        "HF_HUB_CACHE": str(weights / "hub"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(tmp_path / "datasets"),
        "LEVIT_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT / "src"),
        "PYTHONWARNINGS": "default",
    }

    def run_program(*arguments: str | Path) -> str:
        command = [sys.executable, *map(str, arguments)]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        return result.stdout

    return run_program
