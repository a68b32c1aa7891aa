"""What is in labeled images: how many of which class, sizes, modes, what is broken, and what is there twice."""

from __future__ import annotations

import io
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from os import fspath
from pathlib import Path
from uuid import uuid4

import numpy as np
from PIL import Image, ImageOps

from levit.data.duplicates import hash_content
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import DataError, ImageError
from levit.images.decoding import ImageSource, describe_source, read_image

_AT_ONCE = 64
_KEPT = 100  # bad images and duplicates that are named; all are counted


@dataclass
class SplitSummary:
    """What one part of the data holds. `images` = `readable` + `bad`.

    Attributes:
        name: of the part.
        classes: their names.
        images: all of them.
        bad: those that cannot be read, and `bad_named` the first of them with the reason.
        unlabeled: images without a label; `out_of_range` with one that is no class.
        per_class: images of each class.
        modes: Pillow's mode -> images.
        heights, widths: of the readable ones.
        duplicates: images whose file is that of an earlier one; `duplicates_named` the first of them with it.
    """

    name: str
    classes: tuple[str, ...]
    images: int = 0
    bad: int = 0
    bad_named: list[tuple[str, str]] = field(default_factory=list)
    unlabeled: int = 0
    out_of_range: int = 0
    per_class: list[int] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    heights: array[int] = field(default_factory=lambda: array("I"))
    widths: array[int] = field(default_factory=lambda: array("I"))
    duplicates: int = 0
    duplicates_named: list[tuple[str, str]] = field(default_factory=list)

    @property
    def empty_classes(self) -> list[str]:
        """Classes without an image."""
        return [name for name, count in zip(self.classes, self.per_class, strict=True) if not count]

    def size_quantiles(self) -> Mapping[str, tuple[int, int, int]]:
        """Smallest, median and largest height and width in pixels; nothing where no image can be read."""
        if not self.heights:
            return {}
        return {
            name: (int(min(values)), int(np.median(values)), int(max(values)))
            for name, values in (("height", self.heights), ("width", self.widths))
        }


@dataclass(frozen=True)
class _Looked:
    item: LabeledImage
    digest: bytes
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    reason: str = ""


def inspect(
    parts: Mapping[str, LabeledDataset],
    *,
    threads: int = 1,
    watch: Callable[[Iterator[_Looked]], Iterable[_Looked]] = lambda looked: looked,
) -> list[SplitSummary]:
    """Read every image of some parts of the data once.

    Duplicates are found by the hash of their content, also across the parts.

    Args:
        parts: name -> images.
        threads: how many images to read at once.
        watch: what the images pass through, to show progress.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> (summary,) = inspect({"examples": open_data("examples")})
        >>> summary.images, summary.bad, summary.modes
        (4, 0, Counter({'RGB': 4}))
    """
    seen: dict[bytes, str] = {}  # 8 bytes of a hash, and where it was: what is kept of each image
    summaries = []
    with ThreadPoolExecutor(threads, thread_name_prefix="levit-inspect") as pool:
        for name, data in parts.items():
            summary = SplitSummary(name, data.classes, per_class=[0] * len(data.classes))
            for looked in watch(_look_at_all(data, pool)):
                _add(summary, looked, seen)
            summaries.append(summary)
    return summaries


def draw_contact_sheet(
    parts: Sequence[LabeledDataset], file: Path, *, columns: int = 8, rows: int = 6, side: int = 128
) -> None:
    """Draw images from the whole of the data, evenly spaced, as one picture.

    Args:
        parts: of the data.
        file: what to write; its ending says the format.
        columns: how many images beside each other.
        rows: how many below each other.
        side: of each, in pixels.

    Raises:
        DataError: there can be no such file.
    """
    if Image.registered_extensions().get(file.suffix.lower()) not in Image.SAVE or not file.parent.is_dir():
        raise DataError(f"{file}: give a name in a folder that is there, with the ending of a picture, as .jpg")
    step = max(1, sum(map(len, parts)) // (columns * rows))
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for place, item in enumerate(islice(chain(*parts), 0, step * columns * rows, step)):
        with suppress(ImageError):  # what cannot be read stays white
            square = ImageOps.fit(read_image(item.image), (side, side))
            sheet.paste(square, (place % columns * side, place // columns * side))
    partial = file.with_name(f".{uuid4().hex}{file.suffix}")
    try:
        sheet.save(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _look_at_all(data: LabeledDataset, pool: ThreadPoolExecutor) -> Iterator[_Looked]:
    items = iter(data)
    while batch := list(islice(items, _AT_ONCE)):
        yield from pool.map(_look_at, batch)


def _look_at(item: LabeledImage) -> _Looked:
    source = item.image
    if not isinstance(source, bytes | np.ndarray | Image.Image):
        try:
            source = Path(fspath(source)).read_bytes()
        except OSError as error:
            return _Looked(item, b"", reason=error.strerror or str(error))
    digest = hash_content(source)
    try:
        return _Looked(item, digest, _mode(source), read_image(source).size)
    except ImageError as error:
        return _Looked(item, digest, reason=str(error).removeprefix(f"{describe_source(source)}: "))


def _mode(source: ImageSource) -> str:
    """In which mode an image is stored; empty where it is none."""
    with suppress(Exception):  # decoders raise almost anything; reading the image says what is wrong with it
        if isinstance(source, bytes):
            with Image.open(io.BytesIO(source)) as image:
                return image.mode
    return "RGB"


def _add(summary: SplitSummary, looked: _Looked, seen: dict[bytes, str]) -> None:
    item = looked.item
    summary.images += 1
    summary.unlabeled += not item.labels
    for label in item.labels:
        if 0 <= label < len(summary.per_class):
            summary.per_class[label] += 1
        else:
            summary.out_of_range += 1
    if looked.reason:
        summary.bad += 1
        if len(summary.bad_named) < _KEPT:
            summary.bad_named.append((item.name, looked.reason))
    else:
        summary.modes[looked.mode] += 1
        summary.widths.append(looked.size[0])
        summary.heights.append(looked.size[1])
    if looked.digest:
        place = f"{summary.name}: {item.name}"
        first = seen.setdefault(looked.digest, place)
        if first is not place:
            summary.duplicates += 1
            if len(summary.duplicates_named) < _KEPT:
                summary.duplicates_named.append((item.name, first))
