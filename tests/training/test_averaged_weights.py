"""configs/average_weights.py averages the weights of two models with the same classes."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import levit
from levit.errors import ConfigError
from tests.conftest import ROOT
from tests.training.tiny import config, trained

PROGRAM = ROOT / "configs" / "average_weights.py"
LABELS = ("cat", "dog", "fox")


def network(labels: tuple[str, ...] = LABELS) -> levit.LevitForImageClassificationWithTeacher:
    return trained(levit.LevitForImageClassificationWithTeacher(config(labels)))


@pytest.mark.slow
def test_the_written_weights_are_between_those_of_both_models(tmp_path: Path) -> None:
    for name in ("run", "fine-tuned"):
        network().save_pretrained(tmp_path / name)
        levit.LevitImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(tmp_path / name)
    command = [sys.executable, str(PROGRAM), str(tmp_path / "run"), str(tmp_path / "fine-tuned"), "--share", "0.25"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "average")], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    first, second, average = (
        levit.load_checkpoint(tmp_path / name).state_dict() for name in ("run", "fine-tuned", "average")
    )
    assert any(not torch.equal(first[name], second[name]) for name in first)
    for name, tensor in average.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * first[name] + 0.25 * second[name])


@pytest.mark.parametrize("labels", [("cat", "dog"), ("cat", "fox", "dog")])
def test_models_of_other_classes_are_an_error(labels: tuple[str, ...]) -> None:
    average_weights = runpy.run_path(str(PROGRAM))["average_weights"]
    with pytest.raises(ConfigError, match="different weights or classes"):
        average_weights(network(), network(labels), share=0.5)
