"""Synthetic 12-megapixel JPEG photos with texture at every scale, edges, flat sky and grain.

    python benchmarks/large_photos.py FOLDER [--count 12]

The files are deterministic: each is drawn from its number. Quality 90, 4:2:0, as phones write them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.scenes import draw_scene

WIDTH, HEIGHT = 4032, 3024


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
            draw_scene(number, WIDTH, HEIGHT).save(file, quality=90, subsampling="4:2:0")
    return files


if __name__ == "__main__":
    main()
