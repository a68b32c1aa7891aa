"""Synthetic 12-megapixel JPEG photos with texture at every scale, edges, flat sky and grain.

    python benchmarks/large_photos.py FOLDER [--count 12]

The files are deterministic: each is drawn from its number. Quality 90, 4:2:0, as phones write them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 4032, 3024

Field = NDArray[np.float32]  # [height, width]


def main() -> None:
    """Write the files that do not exist."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=12)
    arguments = parser.parse_args()
    for file in write_photos(arguments.folder, arguments.count):
        print(f"{file} ({file.stat().st_size / 1e6:.1f} MB)")


def write_photos(folder: Path, count: int) -> list[Path]:
    """Write `count` photos where they do not exist, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"scene{number:02}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        if not file.exists():
            draw_scene(number).save(file, quality=90, subsampling="4:2:0")
    return files


def draw_scene(number: int, width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
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


if __name__ == "__main__":
    main()
