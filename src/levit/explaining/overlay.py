"""Picture of an explanation: the image, the map over it in colors, and a caption."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from levit.errors import ConfigError, printable

if TYPE_CHECKING:
    from levit.explaining.explanation import Explanation

# Colors of values from 0 to 1, in equal steps: violet, red, orange, yellow. Brightness rises throughout, so that the
# order is visible without color, too.
COLORS = np.array([(66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)], np.float32)

_MAX_OPACITY = 0.8
_FINE_CELLS = 128  # rows and columns
_OUTSIDE = 0.35  # brightness of what the network does not see

_MIN_FONT = 9  # pixels

_PAPER, _INK, _DIM = (20, 24, 28), (240, 242, 245), (160, 168, 176)


def draw_overlay(explanation: Explanation, image: Image.Image, max_side: int) -> Image.Image:
    """Draw an explanation over its image.

    Args:
        explanation: the map and its label.
        image: the upright image, RGB.
        max_side: largest width and height of the picture without its caption, in pixels.

    Returns:
        An RGB image: what the network does not see is darkened, and the caption is below it.

    Raises:
        ConfigError: `max_side` is less than 1.
    """
    if max_side < 1:
        raise ConfigError(f"is {max_side}", source="max_side", hint="give at least 1")
    image = image.copy()
    image.thumbnail((max_side, max_side))
    scale = image.height / explanation.size[0], image.width / explanation.size[1]
    view = explanation.view.scaled(*scale)
    size = image.height, image.width
    seen = view.to_image(np.ones((1, 1), np.float32), size)[..., None]
    heat = view.to_image(_smooth(explanation.relative), size)
    opacity = _MAX_OPACITY * heat[..., None]
    pixels = np.asarray(image, np.float32)
    pixels = pixels * np.where(seen > 0, 1, _OUTSIDE)
    blended = pixels + opacity * (colors(heat) - pixels)
    return _with_caption(Image.fromarray(np.asarray(np.rint(blended), np.uint8)), explanation)


def _smooth(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values on a finer grid, without the edges that linear interpolation would draw between cells."""
    fine = Image.fromarray(values).resize((_FINE_CELLS, _FINE_CELLS), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(fine, np.float32), 0, 1)


def colors(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colors of values.

    Args:
        values: float32 of any shape, in [0, 1].

    Returns:
        float32 [..., 3] in [0, 255].

    Examples:
        >>> colors(np.float32([0, 1])).tolist()
        [[66.0, 10.0, 104.0], [252.0, 255.0, 164.0]]
    """
    steps = np.linspace(0, 1, len(COLORS))
    channels = [np.interp(values, steps, COLORS[:, channel]) for channel in range(3)]
    return np.asarray(np.stack(channels, axis=-1), np.float32)


def _with_caption(image: Image.Image, explanation: Explanation) -> Image.Image:
    """Add a strip below an image: label and score, and the method."""
    size = max(11, min(image.width // 22, 40))
    margin = size // 2
    title = printable(explanation.title)
    note = explanation.method if explanation.is_class_specific else f"{explanation.method}, the same for every class"
    canvas = Image.new("RGB", (image.width, image.height + 3 * size + margin), _PAPER)
    canvas.paste(image)
    draw = ImageDraw.Draw(canvas)
    rows = ((title, size, _INK, margin), (note, int(0.75 * size), _DIM, margin + int(1.4 * size)))
    for text, height, color, top in rows:
        shown, font = _fit(draw, text, height, image.width - 2 * margin)
        draw.text((margin, image.height + top), shown, fill=color, font=font)
    return canvas


def _fit(
    draw: ImageDraw.ImageDraw, text: str, size: int, width: int
) -> tuple[str, ImageFont.FreeTypeFont | ImageFont.ImageFont]:
    """A text and its font so that it fits into a width: first smaller, then shorter."""
    length = draw.textlength(text, ImageFont.load_default(size))
    font = ImageFont.load_default(size if length <= width else max(_MIN_FONT, int(size * width / length)))
    shown = text
    while len(shown) > 1 and draw.textlength(shown, font) > width:
        shown = f"{shown[:-2]}…"
    return shown, font
