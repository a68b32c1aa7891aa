"""How well the similarity of features finds edited copies of photos.

    python benchmarks/near_duplicates.py PHOTOS [PHOTOS …] [--images 3000] [--model MODEL]

For several thresholds, prints the fraction of edited copies whose similarity with their photo reaches it, by kind of
edit, and the number of pairs of different photos that reach it, too. PHOTOS are data sets as for `levit.open_data`
without duplicates of their own.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

import levit
from levit.data.subsets import split_quantization_images
from levit.evaluation.similarity import unit_vectors
from levit.images.decoding import read_image

THRESHOLDS = (0.80, 0.85, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)


def recompress(image: Image.Image) -> Image.Image:
    """The image after JPEG compression of quality 40."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=40)
    return Image.open(stream).convert("RGB")


def crop(image: Image.Image, fraction: float) -> Image.Image:
    """The upper left part of the image, of this fraction of its width and height."""
    return image.crop((0, 0, round(fraction * image.width), round(fraction * image.height)))


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG quality 40": recompress,
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "20 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "cropped to 95 %": lambda image: crop(image, 0.95),
    "cropped to 85 %": lambda image: crop(image, 0.85),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "gray": lambda image: image.convert("L").convert("RGB"),
}


def main() -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--images", type=int, default=3000, help="number of photos of each data set")
    parser.add_argument("--model", help="default: the embedded model")
    arguments = parser.parse_args()
    classifier = levit.Classifier(arguments.model)
    for name in arguments.data:
        chosen, _ = split_quantization_images(levit.open_data(name), arguments.images)
        images = [read_image(item.image) for item in chosen]
        features = classifier.embed(list(images))
        copies = {edit: classifier.embed([change(image) for image in images]) for edit, change in EDITS.items()}
        print_table(name, features, copies)


def print_table(name: str, features: NDArray[np.float32], copies: dict[str, NDArray[np.float32]]) -> None:
    """Print one row for each threshold."""
    print(f"\n{name}: {len(features):,} photos\n")
    print("| threshold | " + " | ".join(copies) + " | pairs of different photos |")
    print("| --- " * (len(copies) + 2) + "|")
    unit = unit_vectors(features)
    similarities = {edit: (unit * unit_vectors(values)).sum(axis=1) for edit, values in copies.items()}
    pairs = (unit @ unit.T)[np.triu_indices(len(unit), 1)]
    for threshold in THRESHOLDS:
        found = " | ".join(f"{100 * (values >= threshold).mean():.1f} %" for values in similarities.values())
        print(f"| {threshold:.2f} | {found} | {(pairs >= threshold).sum():,} |", flush=True)


if __name__ == "__main__":
    main()
