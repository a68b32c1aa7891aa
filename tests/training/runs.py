"""Options of whole runs, callbacks that interrupt them, and their comparison."""

from __future__ import annotations

import csv
import signal
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from levit.training.callbacks import Callback, StepReport
from levit.training.progress import Progress
from levit.training.run_state import load_state

COLORS = ("blue", "green", "red")
AFTER_EVERY_STEP = 1e-6  # minutes between checkpoints
TINY: dict[str, Any] = {
    "image_size": 32,
    "hidden_sizes": [16, 24, 32],
    "num_attention_heads": [1, 2, 2],
    "depths": [1, 1, 1],
    "key_dim": [8, 8, 8],
}


class StopAtStart(Callback):
    """Ctrl-C before the first step."""

    def on_train_start(self, progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)


class StopAfterSteps(Callback):
    """Ctrl-C after a number of steps."""

    def __init__(self, steps: int) -> None:
        self._remaining = steps

    def on_step(self, report: StepReport) -> None:
        self._remaining -= 1
        if self._remaining == 0:
            signal.raise_signal(signal.SIGINT)


class StopInValidation(Callback):
    """Ctrl-C when validation starts."""

    def on_validation_start(self, progress: Progress) -> None:
        signal.raise_signal(signal.SIGINT)


def read_results(run: Path | str) -> list[dict[str, float]]:
    """The rows of `results.csv`."""
    with (Path(run) / "results.csv").open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def read_tensors(run: Path | str) -> dict[str, torch.Tensor]:
    """Tensors of the last state: weights, average and optimizer, under flat names."""
    saved = load_state(Path(run))
    assert saved is not None
    tensors: dict[str, torch.Tensor] = {}

    def flatten(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        elif isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in items:
                flatten(f"{name}.{key}", item)

    flatten("", saved.tensors)
    return tensors


def assert_same_run(run: Path | str, other: Path | str) -> None:
    """Two runs have equal bits: last state, best weights, average and results, without the measured times."""
    tensors, other_tensors = read_tensors(run), read_tensors(other)
    assert tensors.keys() == other_tensors.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], other_tensors[name])] == []
    for file in ("model.safetensors", "ema/model.safetensors"):
        weights, other_weights = load_file(Path(run) / file), load_file(Path(other) / file)
        assert all(torch.equal(weights[name], other_weights[name]) for name in weights)
    measured = ("seconds", "images_per_second")
    tables = [
        [{name: row[name] for name in row if name not in measured} for row in read_results(folder)]
        for folder in (run, other)
    ]
    assert tables[0] == tables[1]
