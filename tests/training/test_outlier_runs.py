"""Runs with outliers: out-of-distribution images."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import levit
from levit.training.options import TrainingOptions
from levit.training.train import train
from tests.training.runs import COLORS
from tests.training.tiny import save_levit


@pytest.fixture(scope="module")
def outliers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy images of two channels at once."""
    folder = tmp_path_factory.mktemp("outliers")
    (folder / "train").mkdir()
    generator = np.random.default_rng(1)
    for number in range(24):
        pixels = generator.integers(0, 130, (32, 32, 3), dtype=np.uint8)
        pixels[..., [number % 3, (number + 1) % 3]] += 90
        Image.fromarray(pixels).save(folder / "train" / f"{number}.png")
    return folder


def mean_score(run: Path, images: Path) -> float:
    """Mean score of the most probable class, by the weights of the last epoch."""
    model = levit.Classifier(run / "last", engine="torch")
    return float(np.mean([prediction.scores.max() for prediction in model(sorted(images.rglob("*.png")))]))


@pytest.mark.parametrize(
    "distillation", [None, *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("hard", "soft"))]
)
def test_the_scores_of_outliers_become_equal(
    run_options: TrainingOptions,
    colors: Path,
    outliers: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    distillation: str | None,
) -> None:
    values: dict[str, Any] = {
        "epochs": 12, "lr": 1e-2, "ema": 0.0, "mixup": 0.0, "cutmix": 0.0, "mix_share": 1.0, "erase": 0.0,
        "auto_augment": "none", "repeats": 1, "color_jitter": 0.0,
    }  # fmt: skip
    if distillation:
        torch.manual_seed(0)
        values |= {"teacher": str(save_levit(tmp_path / "teacher", COLORS)), "distillation": distillation, "alpha": 0.2}
    runs = [
        train(run_options, out=str(tmp_path / f"run{len(more)}"), **values, **more).folder
        for more in ({}, {"outliers": str(outliers)})
    ]
    text = f"48 training images of 3 classes and 24 out-of-distribution images ({outliers}: train split), "
    assert text in capsys.readouterr().err
    before, after = (mean_score(run, outliers) for run in runs)
    assert after < before - 0.1
    assert mean_score(runs[1], colors / "validation") > after + 0.2
    assert "| training, out-of-distribution | 24 |" in (runs[1] / "README.md").read_text("utf-8")


@pytest.mark.slow
def test_outliers_are_mixed_with_images_and_with_kept_scores_of_a_teacher(
    run_options: TrainingOptions, outliers: Path, tmp_path: Path
) -> None:
    teacher = str(save_levit(tmp_path / "teacher", COLORS))
    values: dict[str, Any] = {
        "outliers": str(outliers),
        "teacher": teacher,
        "distillation": "soft",
        "tau": 2.0,
        "teacher_views": 2,
    }
    options = run_options.with_values(**values, cutmix=1.0, mixup=0.2, epochs=2, keep_state=True)
    run = train(options)
    assert run.is_complete
    with (run.folder / "results.csv").open(newline="") as table:
        losses = [float(row["train_loss"]) for row in csv.DictReader(table)]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
