"""The two choices about attention in the torch network, measured: eager or sdpa, and how to resize the attention bias.

python benchmarks/attention.py             needs ../shared/data for the second, and pyarrow (`make bench` installs it)
"""

from __future__ import annotations

import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

import levit
from levit.model import attention
from levit.model.position_bias import resize_position_bias
from levit.spec.architecture import Grid
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULT = Path(__file__).parent / "results" / "attention.json"
ROUNDS, IMAGES = 9, 1500

Resize = Callable[[Tensor, Grid, Grid], Tensor]


def main() -> None:
    """Measure, print, record."""
    results = {"images_per_second": speed(), "top1_percent": accuracy() if DATA.exists() else None}
    RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


def speed() -> dict[str, dict[str, float]]:
    """LeViT-128S with random weights, both ways in one process, rounds alternating."""
    networks = {}
    for name in ("eager", "sdpa"):
        config = levit.LevitConfig.from_variant("levit-128s", attn_implementation=name)
        networks[name] = levit.LevitForImageClassification(config)
    found = {}
    for batch, training in ((1, False), (16, False), (8, True)):
        images, labels = torch.randn(batch, 3, 224, 224), torch.zeros(batch, dtype=torch.long)
        seconds: dict[str, list[float]] = {name: [] for name in networks}
        for _ in range(ROUNDS):
            for name, network in networks.items():
                network.train(training)
                start = time.perf_counter()
                with torch.set_grad_enabled(training):
                    output = network(images, labels=labels)
                if training:
                    output.loss.backward()
                seconds[name].append(time.perf_counter() - start)
        found[f"{'training, ' if training else ''}batch {batch}"] = {
            name: round(batch / statistics.median(values), 1) for name, values in seconds.items()
        }
    return found


def accuracy() -> dict[str, dict[int, float]]:
    """The starter, trained at 64 pixels, on images of other sizes, by the way in which its biases are resized."""
    network = levit.load_checkpoint(DATA / "starter")
    rows = pyarrow.parquet.read_table(DATA / "tiny-imagenet-val.parquet").slice(0, IMAGES).to_pylist()
    labels = torch.tensor([row["label"] for row in rows])
    ways: dict[str, Resize] = {
        "linear": resize_position_bias,
        "cubic": _cubic,
        "distances in tokens": _tokens,
    }
    found: dict[str, dict[int, float]] = {name: {} for name in ways}
    for size in (48, 64, 80, 96, 128):
        images = torch.stack([_pixels(row["image"]["bytes"], size) for row in rows])
        for name, way in ways.items():
            setattr(attention, "resize_position_bias", way)  # noqa: B010  # mypy knows only the one
            with torch.inference_mode():
                predicted = torch.cat([network(batch).logits.argmax(dim=1) for batch in images.chunk(IMAGES // 100)])
            found[name][size] = round(100 * (predicted == labels).float().mean().item(), 2)
    return found


def _pixels(encoded: bytes, size: int) -> Tensor:
    image = Image.open(io.BytesIO(encoded)).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    pixels = (np.asarray(image) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)


def _cubic(biases: Tensor, trained: Grid, grid: Grid) -> Tensor:
    table = biases.view(1, -1, *trained)
    if grid == trained:
        return biases
    return functional.interpolate(table, size=grid, mode="bicubic", align_corners=True)[0].flatten(1)


def _tokens(biases: Tensor, trained: Grid, grid: Grid) -> Tensor:
    rows, columns = (torch.arange(new).clamp(max=old - 1) for new, old in zip(grid, trained, strict=True))
    return biases.view(-1, *trained)[:, rows][:, :, columns].flatten(1)


if __name__ == "__main__":
    main()
