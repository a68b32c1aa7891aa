"""Networks and photos that are small enough to train in a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import levit
from levit.checkpoints.transformers_configuration import PREPROCESSOR_FILE, preprocessor_config
from levit.spec.preprocessing import Preprocessing
from levit.training.student import read_logits
from tests.training.image_stores import CLASSES

# timm's network for tests: 0.2 million weights, batch norms, and another mean and standard deviation than ImageNet's.
TIMM_NETWORK = "timm/test_resnet"


def photo(seed: int, size: tuple[int, int] = (40, 36)) -> Image.Image:
    """Smooth random image, which resizing does not turn into uniform gray; each seed gives another one."""
    patches = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize(size, Image.Resampling.BILINEAR)


def label_names(classes: Sequence[str]) -> dict[str, Any]:
    """Fields of a configuration of transformers with the names of classes."""
    return {"id2label": dict(enumerate(classes)), "label2id": {name: index for index, name in enumerate(classes)}}


def config(classes: tuple[str, ...] = CLASSES, **values) -> levit.LevitConfig:
    """Three stages of one pair each: grids of 2x2, 1x1 and 1x1 tokens."""
    sizes = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [1, 2, 2], "depths": [1] * 3, "key_dim": [8] * 3}
    return levit.LevitConfig(**{"image_size": 32, **sizes, **label_names(classes), **values})


def trained(network: nn.Module, seed: int = 0) -> nn.Module:
    """Change every weight, bias and statistic, as training does, and set evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            scale = 0.5 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.2  # activations stay near one
            parameter.add_(torch.randn(parameter.shape, generator=generator) * scale)
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
            elif name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
    return network.eval()


@torch.no_grad()
def predict(network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """Logits of a network in evaluation mode, [B, classes]."""
    return read_logits(network.eval()(pixels)).logits


def by_class(logits: torch.Tensor, classes: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Logits of each class, [B]."""
    return {name: logits[:, index] for index, name in enumerate(classes)}


def save_levit(
    folder: Path,
    classes: tuple[str, ...],
    *,
    kind: type[nn.Module] = levit.LevitForImageClassification,
    preprocessing: Preprocessing | None = None,
    **values,
) -> Path:
    """Write a trained network into a folder, in the layout of transformers."""
    network = trained(kind(config(classes, **values)))
    network.save_pretrained(folder)
    side = network.config.image_size
    grid = (side, side) if isinstance(side, int) else tuple(side)
    content = preprocessor_config(preprocessing or Preprocessing.for_image_size(grid))
    (folder / PREPROCESSOR_FILE).write_text(json.dumps(content))
    return folder
