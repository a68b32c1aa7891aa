"""Contact sheet: a grid of thumbnails of images from all parts of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

from PIL import Image, ImageOps

from levit.data.labeled_images import LabeledDataset
from levit.errors import DataError, ImageError
from levit.files import replacing
from levit.images.decoding import read_reduced_image


def draw_contact_sheet(
    splits: Sequence[LabeledDataset], file: Path, *, columns: int = 8, rows: int = 6, side: int = 128
) -> None:
    """Draw thumbnails of evenly spaced images; the thumbnail of an image that cannot be read is white.

    Args:
        splits: splits of a data set, drawn one after the other.
        file: image file to create or replace; its suffix determines the format.
        columns: number of thumbnails in a row.
        rows: number of rows.
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
    step = max(1, sum(map(len, splits)) // (columns * rows))
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for position, item in enumerate(islice(chain(*splits), 0, step * columns * rows, step)):
        with suppress(ImageError):
            thumbnail = ImageOps.fit(read_reduced_image(item.image, 2 * side)[0], (side, side))
            sheet.paste(thumbnail, (position % columns * side, position // columns * side))
    with replacing(file) as partial:
        sheet.save(partial, image_format)
