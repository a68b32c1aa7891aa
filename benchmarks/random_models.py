"""Models with random weights and synthetic photos, generated once into build/benchmarks (not committed)."""

from __future__ import annotations

import sys
from pathlib import Path

import levit
from recording import WORK

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.scenes import draw_scene


def random_checkpoint(variant: str) -> Path:
    """Folder of a transformers checkpoint with random weights and two heads for 1000 classes."""
    folder = WORK / variant
    if not (folder / "config.json").exists():
        import torch

        torch.manual_seed(0)
        config = levit.LevitConfig.from_variant(variant, num_labels=1000)
        network = levit.LevitForImageClassificationWithTeacher(config)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)  # residual branches are initialized with zero
        network.save_pretrained(folder)
        levit.LevitImageProcessor().save_pretrained(folder)
    return folder


def export_random(variant: str, precision: str) -> Path:
    """Exported file of the same model; int8 by the recipe of the embedded model, calibrated on `scenes()`."""
    file = WORK / f"{variant}-{precision}.onnx"
    if not file.exists():
        options = {} if precision != "int8" else {"quantization_data": scenes()}
        levit.export(random_checkpoint(variant), file, weights=precision, **options)  # type: ignore[arg-type]
    return file


def scenes(count: int = 64) -> Path:
    """Folder of synthetic photos of 500x375 pixels, a common size in data sets."""
    folder = WORK / "scenes"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file = folder / f"scene{number:02}.jpg"
        if not file.exists():
            draw_scene(number, 500, 375).save(file, quality=90)
    return folder
