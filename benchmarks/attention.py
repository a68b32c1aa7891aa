"""Speed of the attention implementations (eager, sdpa), and accuracy by interpolation of the attention biases.

    python benchmarks/attention.py [--record]

The accuracy requires ../shared/data and pyarrow (`make bench` installs it). Writes attention.json.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

import levit
from levit.benchmarking.machine import describe_machine
from levit.model import attention
from levit.model.attention_bias import resize_attention_biases
from levit.spec.architecture import Grid
from levit.spec.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from recording import RESULTS, add_record_option, result_file, write_json

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
ROUNDS, IMAGES = 9, 1500

Interpolation = Callable[[Tensor, Grid, Grid], Tensor]


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_record_option(parser)
    arguments = parser.parse_args()
    top1 = measure_accuracy() if DATA.exists() else recorded_accuracy()
    results = {"machine": describe_machine(), "images_per_second": measure_speed(), "top1": top1}
    write_json(result_file("attention.json", is_recorded=arguments.record), results)
    print(json.dumps(results, indent=1))


def measure_speed() -> dict[str, dict[str, float]]:
    """Median images per second of LeViT-128S with random weights, in alternating rounds of one process.

    Returns:
        By batch, images per second by implementation.
    """
    networks = {}
    for name in ("eager", "sdpa"):
        config = levit.LevitConfig.from_variant("levit-128s", attn_implementation=name)
        networks[name] = levit.LevitForImageClassification(config)
    throughput = {}
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
        throughput[f"{'training, ' if training else ''}batch {batch}"] = {
            name: round(batch / statistics.median(values), 1) for name, values in seconds.items()
        }
    return throughput


def recorded_accuracy() -> Any:
    """Accuracy of an earlier measurement, because this machine does not have the images; None without one."""
    file = RESULTS / "attention.json"
    return json.loads(file.read_text(encoding="utf-8"))["top1"] if file.exists() else None


def measure_accuracy() -> dict[str, dict[int, float]]:
    """Top-1 accuracy of the starter model, trained at 64 pixels, for other image sizes.

    Returns:
        By interpolation, top-1 accuracy in [0, 1] by image size in pixels.
    """
    network = levit.load_checkpoint(DATA / "starter")
    rows = pyarrow.parquet.read_table(DATA / "tiny-imagenet-val.parquet").slice(0, IMAGES).to_pylist()
    labels = torch.tensor([row["label"] for row in rows])
    interpolations: dict[str, Interpolation] = {
        "linear": resize_attention_biases,
        "cubic": _interpolate_cubic,
        "clamped distances": _clamp_distances,
    }
    top1: dict[str, dict[int, float]] = {name: {} for name in interpolations}
    for size in (48, 64, 80, 96, 128):
        images = torch.stack([_pixels(row["image"]["bytes"], size) for row in rows])
        for name, interpolation in interpolations.items():
            setattr(attention, "resize_attention_biases", interpolation)  # noqa: B010  # mypy refuses an assignment
            with torch.inference_mode():
                predicted = torch.cat([network(batch).logits.argmax(dim=1) for batch in images.chunk(IMAGES // 100)])
            top1[name][size] = round((predicted == labels).float().mean().item(), 4)
    return top1


def _pixels(encoded: bytes, size: int) -> Tensor:
    image = Image.open(io.BytesIO(encoded)).convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
    pixels = (np.asarray(image) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    return torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)


def _interpolate_cubic(biases: Tensor, trained: Grid, grid: Grid) -> Tensor:
    table = biases.view(1, -1, *trained)
    if grid == trained:
        return biases
    return functional.interpolate(table, size=grid, mode="bicubic", align_corners=True)[0].flatten(1)


def _clamp_distances(biases: Tensor, trained: Grid, grid: Grid) -> Tensor:
    """Use the bias of the same distance in tokens; larger distances than trained use the largest trained distance."""
    rows, columns = (torch.arange(new).clamp(max=old - 1) for new, old in zip(grid, trained, strict=True))
    return biases.view(-1, *trained)[:, rows][:, :, columns].flatten(1)


if __name__ == "__main__":
    main()
