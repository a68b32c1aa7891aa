"""Collect drawings, faces and screenshots: images that the embedded model has no class for.

    mkdir data/outliers && cd data/outliers
    apt-get download openclipart-png debian-handbook gimp-help-en            # Debian 12
    for file in *.deb; do dpkg-deb --extract "$file" "${file%%_*}"; done
    git clone --depth 1 https://github.com/MachineLearning2020/Homework2-Caltech101
    git clone --depth 1 https://github.com/serengil/deepface
    cd ../.. && python configs/collect_outliers.py data/outliers

DATA/train is for `levit train --outliers`, DATA/test for `benchmarks/outliers.py`. Screenshots and faces of both are
from different sources; drawings are from the same collection, and no file is in both.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from levit.spec.image_files import IMAGE_SUFFIXES

SEED = 0
MAX_PIXELS = 50_000_000


class Source(NamedTuple):
    """Images of one kind: a folder below the data, and how many at most are taken, in a random order."""

    split: str
    kind: str
    folder: str
    limit: int
    min_side: int = 64


SOURCES = (
    Source("test", "drawings", "openclipart-png", 500),
    Source("train", "drawings", "openclipart-png", 5000),
    Source("test", "screenshots", "debian-handbook", 200, 200),
    Source("train", "screenshots", "gimp-help-en", 1000, 100),
    Source("test", "faces", "deepface/tests/unit/dataset", 100),
    Source("train", "faces", "Homework2-Caltech101", 500),
)


def main() -> None:
    """Write both splits, and print how many images each kind has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    taken: set[bytes] = set()
    for source in SOURCES:
        folder = data / source.split / source.kind
        folder.mkdir(parents=True, exist_ok=True)
        count = 0
        for suffix, content in different_images(data / source.folder, source, taken):
            (folder / f"{count:05}{suffix}").write_bytes(content)
            if (count := count + 1) == source.limit:
                break
        print(f"{folder}: {count:,} images from {source.folder}")


def different_images(folder: Path, source: Source, taken: set[bytes]) -> Iterator[tuple[str, bytes]]:
    """Suffix and content of image files in a random order; contents are added to those that are not taken again."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and is_wanted(file))
    files = [files[index] for index in np.random.default_rng(SEED).permutation(len(files))]
    for file, size in with_sizes(files):
        content = file.read_bytes()
        if min(size) < source.min_side or size[0] * size[1] > MAX_PIXELS or content in taken:
            continue
        taken.add(content)
        yield file.suffix.lower(), content


def is_wanted(file: Path) -> bool:
    """Whether a file is of the kind: Caltech-101 has faces in two folders, one of them cropped."""
    in_caltech = "Homework2-Caltech101" in file.parts
    return file.is_file() and not file.is_symlink() and (not in_caltech or file.parent.name == "Faces")


def with_sizes(files: Iterable[Path]) -> Iterator[tuple[Path, tuple[int, int]]]:
    """Files that are images, with width and height in pixels."""
    for file in files:
        try:
            with Image.open(file) as image:
                yield file, image.size
        except (UnidentifiedImageError, Image.DecompressionBombError):
            continue


if __name__ == "__main__":
    main()
