"""What whole runs are told, and how two of them are compared."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from levit.training.checkpointer import load_state

COLORS = ("blue", "green", "red")
TINY: dict[str, Any] = {
    "image_size": 32,
    "hidden_sizes": [16, 24, 32],
    "num_attention_heads": [1, 2, 2],
    "depths": [1, 1, 1],
    "key_dim": [8, 8, 8],
}


def rows(run: Path | str) -> list[dict[str, float]]:
    with (Path(run) / "results.csv").open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def state(run: Path | str) -> dict[str, torch.Tensor]:
    """Weights, average and optimizer, flat."""
    found = load_state(Path(run))
    assert found is not None
    flat: dict[str, torch.Tensor] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            flat[name] = value
        elif isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, one in items:
                walk(f"{name}.{key}", one)

    walk("", found[2])
    return flat


def assert_same_run(one: Path | str, other: Path | str) -> None:
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    for file in ("model.safetensors", "ema/model.safetensors"):
        first, second = load_file(Path(one) / file), load_file(Path(other) / file)
        assert all(torch.equal(first[name], second[name]) for name in first)
    times = ("seconds", "images_per_second")
    plain = [[{name: row[name] for name in row if name not in times} for row in rows(run)] for run in (one, other)]
    assert plain[0] == plain[1]
