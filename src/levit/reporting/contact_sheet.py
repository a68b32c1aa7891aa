"""Contact sheet: a grid of thumbnails of images from all parts and classes of a data set, with the class names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from math import ceil, sqrt
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.data.subsets import Subset
from levit.errors import DataError, ImageError
from levit.files import replacing
from levit.images.decoding import read_reduced_image

_CAPTION = 18  # pixels below a thumbnail
_FONT_SIZE = 12
_MAX_IMAGES = 2000


def draw_contact_sheet(
    splits: Sequence[LabeledDataset], file: Path, *, columns: int = 8, rows: int = 6, side: int = 128
) -> None:
    """Draw thumbnails of images of all classes, split by split and class by class, with the names of the classes.

    Every class of every split has at least one image, as long as these are at most 2,000; there are then more rows and
    columns. The images of a class are evenly spaced over the whole data set. An image without a label has its own name.
    The thumbnail of an image that cannot be read is white.

    Args:
        splits: splits of a data set, drawn one after the other.
        file: image file to create or replace; its suffix determines the format.
        columns: smallest number of thumbnails in a row.
        rows: number of rows, if there are not more classes.
        side: width and height of a thumbnail in pixels.

    Raises:
        DataError: the folder does not exist, or Pillow cannot write files of this suffix.
    """
    image_format = Image.registered_extensions().get(file.suffix.lower())
    if image_format not in Image.SAVE or not file.parent.is_dir():
        raise DataError(
            "cannot be written as an image",
            source=file,
            hint="give a name in an existing folder, with the suffix of an image, such as .jpg",
        )
    chosen = _choose(splits, columns * rows)
    if len(chosen) > columns * rows:
        columns = max(columns, ceil(sqrt(len(chosen))))
    height = side + _CAPTION
    sheet = Image.new("RGB", (columns * side, max(1, ceil(len(chosen) / columns)) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for position, (item, name) in enumerate(chosen):
        left, top = position % columns * side, position // columns * height
        with suppress(ImageError):
            thumbnail = ImageOps.fit(read_reduced_image(item.image, 2 * side)[0], (side, side))
            sheet.paste(thumbnail, (left, top))
        text = _shorten(name, side - 4, font)
        draw.text((left + 2, top + side + 1), text, "black", font)
    with replacing(file) as partial:
        sheet.save(partial, image_format)


def choose_images(labels: Sequence[Sequence[int]], count: int) -> list[int]:
    """Choose images of all classes, as equally many of each as there are, evenly spaced within the class.

    Args:
        labels: class indices of each image; the first one counts.
        count: number of images to choose; more are chosen if there are more classes.

    Returns:
        Numbers of the images, class by class, those without a label first.

    Examples:
        >>> choose_images([(0,)] * 6 + [(1,)] * 2, 4)
        [0, 3, 6, 7]
        >>> choose_images([()] * 20, 4)
        [0, 5, 10, 15]
    """
    members: dict[int, list[int]] = {}
    for index, image_labels in enumerate(labels):
        members.setdefault(image_labels[0] if image_labels else -1, []).append(index)
    groups = [members[label] for label in sorted(members)]
    total = min(max(count, len(groups)), len(labels))
    sizes = [0] * len(groups)
    while sum(sizes) < total:
        for number, group in enumerate(groups):
            if sizes[number] < len(group) and sum(sizes) < total:
                sizes[number] += 1
    return [group[step * len(group) // size] for group, size in zip(groups, sizes, strict=True) for step in range(size)]


def _choose(splits: Sequence[LabeledDataset], count: int) -> list[tuple[LabeledImage, str]]:
    """Images to draw, with their names."""
    chosen: list[tuple[LabeledImage, str]] = []
    for data in splits:
        labels = [item.labels for item in data]
        numbers = choose_images(labels, max(1, count // len(splits)))[:_MAX_IMAGES]
        images = dict(zip(sorted(numbers), Subset(data, np.array(numbers, np.int64)), strict=True))
        chosen += [(images[number], _name(images[number], data.classes)) for number in numbers]
    return chosen


def _name(item: LabeledImage, classes: Sequence[str]) -> str:
    names = [classes[label] for label in item.labels if 0 <= label < len(classes)]
    return ", ".join(names) or item.name.rpartition("/")[2]


def _shorten(text: str, width: int, font: ImageFont.ImageFont | ImageFont.FreeTypeFont) -> str:
    """Text of at most this width in pixels, with an ellipsis where it is cut off."""
    text = text.encode(errors="replace").decode()
    if font.getlength(text) <= width:
        return text
    return next(
        (short for end in range(len(text), 0, -1) if font.getlength(short := f"{text[:end].rstrip()}…") <= width), ""
    )
