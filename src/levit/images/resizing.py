"""Resizing of a box of an RGB image, several times faster than Pillow and equal to it except for rounding.

Both passes have Pillow's order for all but tall images, rows first, because intermediate values are rounded. They are
computed by `cykooz_resizer`, which uses the vector instructions of the processor. It reads pixels directly from the
memory of Pillow's images, so it is used only with versions of Pillow whose memory layout it was tested with; otherwise
Pillow resizes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

import PIL
from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels, not necessarily integers."""

Resize = Callable[[Image.Image, tuple[int, int], Image.Resampling, Box], Image.Image]

_TESTED_PILLOW_VERSIONS = range(11, 14)  # major versions
_MAX_SUPPORT = 3  # pixels on either side that the widest filter, Lanczos, reads

_CYKOOZ_FILTERS = {
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "catmull_rom",
    Image.Resampling.LANCZOS: "lanczos3",
}

_thread_local = threading.local()  # a resizer keeps buffers between images and is not thread-safe


def resize_box(image: Image.Image, size: tuple[int, int], resample: Image.Resampling, box: Box) -> Image.Image:
    """Resize a box of an RGB image; pixels around the box contribute where the filter reaches them.

    Args:
        image: RGB.
        size: width and height of the result in pixels.
        resample: Pillow's filter.
        box: left, top, right and bottom of the box in pixels.

    Returns:
        An RGB image of `size`.

    Examples:
        >>> resize_box(Image.new("RGB", (40, 30), "white"), (4, 3), Image.Resampling.BICUBIC, (10, 5, 30, 20)).size
        (4, 3)
    """
    resize = _resize_by_cykooz if resample in _CYKOOZ_FILTERS and _has_cykooz(PIL.__version__) else _resize_by_pillow
    left, first, right, last = box
    margin = _MAX_SUPPORT * max((last - first) / size[1], 1)
    top, bottom = max(0, int(first - margin)), min(image.height, int(last + margin) + 1)
    rows = resize(image, (size[0], bottom - top), resample, (left, top, right, bottom))
    return resize(rows, size, resample, (0, first - top, size[0], last - top))


def _resize_by_pillow(image: Image.Image, size: tuple[int, int], resample: Image.Resampling, box: Box) -> Image.Image:
    return image.resize(size, resample, box=box)


def _resize_by_cykooz(image: Image.Image, size: tuple[int, int], resample: Image.Resampling, box: Box) -> Image.Image:
    from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer

    if not hasattr(_thread_local, "resizer"):
        _thread_local.resizer = Resizer()
    left, top, right, bottom = box
    options: Any = ResizeOptions(
        resize_alg=ResizeAlg.convolution(FilterType[_CYKOOZ_FILTERS[resample]]),
        crop_box=CropBox(left, top, right - left, bottom - top),
        use_alpha=False,
    )
    resized = Image.new("RGB", size)
    _thread_local.resizer.resize_pil(image, resized, options)
    return resized


@cache
def _has_cykooz(pillow_version: str) -> bool:
    if int(pillow_version.split(".")[0]) not in _TESTED_PILLOW_VERSIONS:
        return False
    try:
        import cykooz_resizer  # noqa: F401
    except ImportError:  # there are no wheels for this processor
        return False
    return True
