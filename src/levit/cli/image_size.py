"""The image size on the command line: `224`, or height and width as in `256x192`."""

from __future__ import annotations

from typing import NamedTuple

import typer


class ImageSize(NamedTuple):
    """Height and width of an image in pixels, each at least 1."""

    height: int
    width: int


def parse_image_size(text: str) -> ImageSize:
    """Parse the value of an option; give it to typer as `typer.Option(parser=parse_image_size)`.

    Raises:
        typer.BadParameter: the text is neither one positive integer nor two with an `x` between them.

    Examples:
        >>> parse_image_size("224")
        ImageSize(height=224, width=224)
        >>> parse_image_size("256x192")
        ImageSize(height=256, width=192)
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdecimal() and int(side) > 0 for side in sides):
        raise typer.BadParameter(f"{text!r}: give pixels, as 224, or height and width as 256x192")
    return ImageSize(int(sides[0]), int(sides[-1]))
