"""Conversion of every mode and sample format of Pillow to 8-bit RGB."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from PIL import Image

from levit.errors import ImageError
from levit.images.sources import is_array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF files
_WHITE_IS_ZERO = 0  # a value of the latter
_MAX_8_BIT, _MAX_16_BIT = 255, 65535
_BLOCK = 2**20  # pixels
_HIGH_BYTES, _LOW_BYTES = "RGB;16B", "RGB;16L"  # raw modes: the first byte of each 16-bit value, and the second
_GRAY_SCALES = {"L;2": 85, "L;4": 17}  # what Pillow multiplies gray values of 2 and 4 bits in a PNG file by


def transparent_color(image: Image.Image) -> Any:
    """Transparent color of an opened image that is not loaded, in the units of the pixels that Pillow loads.

    Pillow gives that of a PNG file in the units of the file, which may have 2, 4 or 16 bits per sample. It loads only
    the high bytes of colors of 16 bits, so that the low bytes are read here. A PIL image of the caller that is loaded
    already has lost them, and its transparency is not exact.

    Returns:
        Gray value, (red, green, blue), index in the palette, opacities of the palette, None; or, for a PNG file in
        colors of 16 bits, whether each pixel is transparent: bool [height, width].
    """
    color = image.info.get("transparency")
    tile = next(iter(getattr(image, "tile", ())), None)
    if color is None or image.format != "PNG" or tile is None:
        return color
    raw_mode = tile[3]
    if raw_mode == _HIGH_BYTES:
        mask = _equals_deep_color(image, color)
        return tuple(value >> 8 for value in color) if mask is None else mask
    return color * _GRAY_SCALES.get(raw_mode, 1)


def _equals_deep_color(image: Image.Image, color: tuple[int, int, int]) -> NDArray[np.bool_] | None:
    """Return whether each pixel of an opened PNG file has a color of 16 bits per channel; None if it is damaged."""
    import numpy as np
    from PIL.PngImagePlugin import PngImageFile  # takes as long as decoding a photo

    stream = getattr(image, "fp", None)
    if stream is None:
        return None
    position, is_equal = stream.seek(0, os.SEEK_CUR), np.ones((image.height, image.width), np.bool_)
    try:
        for raw_mode, shift in ((_HIGH_BYTES, 8), (_LOW_BYTES, 0)):
            stream.seek(0)
            again = PngImageFile(stream)
            again.tile = [again.tile[0]._replace(args=raw_mode)]
            is_equal &= (np.asarray(again) == [value >> shift & 255 for value in color]).all(axis=2)
        return is_equal
    except Exception:  # loading the image reports the damage
        return None
    finally:
        stream.seek(position)


def convert_to_rgb(image: Image.Image, name: str, transparency: Any = None) -> Image.Image:
    """Convert a loaded image of any mode to RGB.

    Args:
        image: a loaded image.
        name: name of the image for errors.
        transparency: its transparent color or pixels, as from `transparent_color`.

    Returns:
        An RGB image; the same object if it is RGB without a transparent color.

    Raises:
        ImageError: its values have no known range.
    """
    if image.mode == "F":
        raise ImageError("floating-point pixels have no known range", source=name, hint="convert it to 8 bits")
    if image.mode.startswith("I"):
        return _deep_gray_to_rgb(image, name, transparency)
    if is_array(transparency):
        import numpy as np

        pixels = np.array(image)
        pixels[transparency] = _MAX_8_BIT
        return Image.fromarray(pixels)
    if image.mode == "La":
        image = image.convert("LA")  # the only mode that Pillow converts it to
    if transparency is not None and transparency != image.info.get("transparency"):
        image = image.copy()
        image.info["transparency"] = transparency
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_gray_to_rgb(image: Image.Image, name: str, transparency: Any) -> Image.Image:
    """Scale gray values of 16 or 32 bits to 8 bits; Pillow would clip them at 255."""
    import numpy as np

    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode == "I":
        white = _full_scale(values, image, name)
    else:
        bits = tags.get(_BITS_PER_SAMPLE)
        white = 2 ** bits[0] - 1 if isinstance(bits, tuple) and bits and 8 < bits[0] < 16 else _MAX_16_BIT
    table = np.rint(np.minimum(np.arange(_MAX_16_BIT + 1) / (white / 255), 255)).astype(np.uint8)
    if image.mode != "I" and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # which Pillow inverts in 8 bits only
        table = 255 - table
    if isinstance(transparency, int) and 0 <= transparency <= _MAX_16_BIT:
        table[transparency] = 255
    return Image.fromarray(_look_up(values, table)).convert("RGB")


def _look_up(values: NDArray[Any], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Entry of a table for each value, by blocks, because numpy converts indices to 64 bits."""
    import numpy as np

    found = np.empty(values.size, np.uint8)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        np.take(table, flat[block], out=found[block], mode="clip")
    return found.reshape(values.shape)


def _full_scale(values: NDArray[Any], image: Image.Image, name: str) -> int:
    """Value of white in an image of mode I, whose 32-bit values are usually of 8 or 16 bits."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > _MAX_16_BIT:
        raise ImageError(f"values from {low} to {high} have no known range", source=name, hint="convert it to 8 bits")
    return _MAX_16_BIT if high > _MAX_8_BIT or image.format == "PPM" else _MAX_8_BIT
