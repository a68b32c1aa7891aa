"""A small network that is trained within seconds to classify five hues on noisy images."""

import colorsys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import levit
from tests.runtime.small_model import LABELS, SMALL

SIDE = 32


def draw(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images with a faint hue, uint8 [count, side, side, 3], and the index of the hue of each."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(LABELS), count)
    hues = np.array([colorsys.hsv_to_rgb(label / len(LABELS), 0.10, 0.6) for label in labels])
    noise = generator.normal(0, 0.25, (count, SIDE, SIDE, 3))
    return (np.clip(hues[:, None, None] + noise, 0, 1) * 255).astype(np.uint8), labels


def train(folder: Path, *, steps: int = 80) -> Path:
    """Train the network and save it as a transformers checkpoint."""
    torch.manual_seed(0)
    config = levit.LevitConfig(
        image_size=SIDE,
        hidden_sizes=list(SMALL.hidden_sizes),
        depths=list(SMALL.depths),
        num_attention_heads=list(SMALL.num_attention_heads),
        key_dim=list(SMALL.key_dim),
        id2label=dict(enumerate(LABELS)),
        label2id={name: index for index, name in enumerate(LABELS)},
    )
    model = levit.LevitForImageClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    processor = levit.LevitImageProcessor(size={"height": SIDE, "width": SIDE}, do_center_crop=False)
    for step in range(steps):
        pictures, labels = draw(32, seed=step + 1)
        pixel_values = processor(list(pictures), return_tensors="pt")["pixel_values"]
        loss = model(pixel_values=pixel_values, labels=torch.from_numpy(labels)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_pictures(folder: Path, *, count: int = 150) -> Path:
    """Write images into a subfolder for each hue."""
    for index, (picture, label) in enumerate(zip(*draw(count, seed=0), strict=True)):
        file = folder / LABELS[label] / f"{index:03}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file)
    return folder
