"""Drawn photos with texture at every scale, edges, flat sky and grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Field = NDArray[np.float32]  # [height, width]


def draw_scene(number: int, width: int, height: int) -> Image.Image:
    """Draw a sky, a ground with texture at every scale, objects with edges, and sensor grain."""
    generator = np.random.default_rng(number)
    ground: Field = np.zeros((height, width), np.float32)
    for octave in range(1, 11):
        ground += _noise(generator, 2**octave, width, height) * 0.6**octave
    tint = generator.uniform(0.5, 1.5, 3).astype(np.float32)
    slope = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture = 128 + 160 * ground[:, :, None] * tint * (0.2 + slope) + 60 * (0.5 - slope) * tint[::-1]
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(150):
        left, top = int(generator.integers(0, width)), int(generator.integers(0, height))
        size = int(generator.integers(20, 500))
        color = tuple(int(value) for value in generator.integers(0, 256, 3))
        outline = pen.ellipse if generator.random() < 0.5 else pen.rectangle
        outline(
            (left, top, left + size, top + size),
            fill=color if generator.random() < 0.4 else None,
            outline=color,
            width=3,
        )
    grain = generator.normal(0, 4, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def _noise(generator: np.random.Generator, cells: int, width: int, height: int) -> Field:
    """Smooth noise with zero mean and `cells` random values across the width."""
    grid = generator.normal(0, 1, (max(2, cells * height // width), cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC), np.float32)
