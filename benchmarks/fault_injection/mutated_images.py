"""Mutated images of every format that Pillow writes here."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fault_injection.mutation import mutate
from levit.images.transform import read_and_preprocess
from levit.spec.preprocessing import Preprocessing

_PHOTO = Path(__file__).parent.parent.parent / "examples" / "espresso.jpg"
_MODES = ("RGB", "L", "RGBA", "P", "1", "CMYK", "LA", "I;16", "I", "F", "YCbCr", "LAB")
_SIDES = (61, 47)  # odd, so that rows of bits and of blocks are incomplete
_ORIENTATION = 274  # the EXIF tag

# Further options by format; every format is also written with Pillow's defaults in each mode that it supports.
_OPTIONS: dict[str, tuple[dict[str, Any], ...]] = {
    "JPEG": ({"progressive": True}, {"quality": 95, "subsampling": 0}),
    "TIFF": (
        *({"compression": name} for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4")),
        {"tiffinfo": {_ORIENTATION: 6}},
        {"big_tiff": True},
    ),
    "PNG": ({"transparency": 3}, {"dpi": (72, 72), "optimize": True}),
    "WEBP": ({"lossless": True},),
    "GIF": ({"interlace": 0},),
    "BMP": ({"bitmap_format": "bmp"},),
    "DDS": ({"pixel_format": "DXT1"}, {"pixel_format": "DXT5"}),
    "TGA": ({"compression": "tga_rle"},),
    "SGI": ({"bpc": 2},),
    "JPEG2000": ({"irreversible": True, "quality_mode": "rates", "quality_layers": [20]}, {"no_jp2": True}),
    "BLP": ({"blp_version": "BLP1"},),
}
# libtiff prints messages about the others.
_MODES_OF_COMPRESSION = {"group4": ("1",), "jpeg": ("RGB", "L")}


class MutatedImages:
    """Cases of one image file each; the originals take turns, so that every format has an equal share."""

    seconds = 60.0
    num_bytes = 3 * 2**29  # 100 megapixels with transparency are 400 MB, thrice for a moment

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._preprocessing = Preprocessing.for_image_size((64, 64))

    def name_case(self, number: int) -> str:
        """Format of the original."""
        names = list(_by_format())
        return names[number % len(names)]

    def write_case(self, number: int, folder: Path) -> Path:
        """Write the mutated image."""
        generator = np.random.default_rng([self._seed, number])
        name = self.name_case(number)
        originals = _by_format()[name]
        content = originals[int(generator.integers(len(originals)))]
        file = folder / f"{number}.{name.lower()}"
        file.write_bytes(mutate(content, generator))
        return file

    def open_case(self, file: Path) -> None:
        """Decode and preprocess the image, fast and exactly."""
        fast = read_and_preprocess(file, self._preprocessing)
        exact = read_and_preprocess(file, self._preprocessing, exact=True)
        for pixels in (fast, exact):
            if pixels.shape != (64, 64, 3) or pixels.dtype != np.uint8:
                raise AssertionError(f"pixels are {pixels.dtype} {list(pixels.shape)}")


def create(seed: int) -> MutatedImages:
    """Create the subject."""
    return MutatedImages(seed)


@cache
def _by_format() -> dict[str, list[bytes]]:
    """Valid files by format, in every mode and with every option that it supports."""
    Image.init()
    with Image.open(_PHOTO) as photo:
        images = list(_in_every_mode(photo.convert("RGB")))
    originals: dict[str, list[bytes]] = {}
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    # Frames and EXIF separately, because Pillow 13.0 crashes where it writes an animated AVIF file with EXIF.
    frames = {"save_all": True, "append_images": [images[0].rotate(180)]}
    for name in sorted(Image.SAVE):
        for image in images:
            for options in ({}, *_OPTIONS.get(name, ())):
                if image.mode not in _MODES_OF_COMPRESSION.get(options.get("compression", ""), _MODES):
                    continue
                with suppress(Exception):  # the format has no such mode or option
                    content = _encode(image, name, options)
                    originals.setdefault(name, []).append(content)
        for options in (frames if name in Image.SAVE_ALL else {}, {"exif": exif}):
            with suppress(Exception):
                content = _encode(images[0], name, options)
                originals.setdefault(name, []).append(content)
    return originals


def _in_every_mode(photo: Image.Image) -> Iterator[Image.Image]:
    small = photo.resize(_SIDES)
    for mode in _MODES:
        with suppress(ValueError):
            if mode == "I;16":
                yield Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 257)
            elif mode == "LAB":
                yield Image.frombytes("LAB", small.size, small.tobytes())
            else:
                yield small.convert("L").convert(mode) if mode in ("I", "F", "LA") else small.convert(mode)
    yield photo.resize((320, 200))  # large enough to be decoded at a fraction of its size
    yield photo.resize((70, 400))


def _encode(image: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    if name == "AVIF":
        options = {"speed": 10, **options}  # the fastest
    image.save(stream, name, **options)
    return stream.getvalue()
