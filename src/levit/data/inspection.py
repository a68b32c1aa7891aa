"""Inspection of data sets: counts per class, image sizes and modes, unreadable images and duplicates."""

from __future__ import annotations

import io
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from PIL import Image

from levit.data.duplicates import hash_content
from levit.data.file_content import read_content
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import ImageError
from levit.images.decoding import read_reduced_image
from levit.images.sources import StoredImage

_BATCH_SIZE = 64
_MIN_SIDE = 64  # pixels to which a large JPEG file may be reduced when it is decoded
_MAX_EXAMPLES = 100


@dataclass
class SplitSummary:
    """Content of one split.

    Attributes:
        name: name of the split.
        classes: class names.
        num_images: number of images, readable or not.
        num_bad: number of images that cannot be read.
        bad_examples: name and reason of the first 100 images that cannot be read.
        num_unlabeled: number of images without a label.
        num_out_of_range: number of labels outside `range(len(classes))`.
        images_per_class: number of images with each label.
        modes: number of readable images of each mode of Pillow, such as "RGB" or "L".
        heights: heights of the readable images in pixels.
        widths: widths of the readable images in pixels.
        num_duplicates: number of images whose content equals that of an earlier image, also of an earlier split.
        duplicate_examples: name of each of the first 100 duplicates, with `split: name` of the earlier image.
        num_similar: number of images that are near-duplicates of an earlier image, also of an earlier split, and not
            its copies; None where they were not searched.
        similar_examples: name of each of the first 100 of these, with `split: name` of the most similar earlier image,
            and their similarity in (0, 1].
    """

    name: str
    classes: tuple[str, ...]
    num_images: int = 0
    num_bad: int = 0
    bad_examples: list[tuple[str, str]] = field(default_factory=list)
    num_unlabeled: int = 0
    num_out_of_range: int = 0
    images_per_class: list[int] = field(default_factory=list)
    modes: Counter[str] = field(default_factory=Counter)
    heights: array[int] = field(default_factory=lambda: array("I"))
    widths: array[int] = field(default_factory=lambda: array("I"))
    num_duplicates: int = 0
    duplicate_examples: list[tuple[str, str]] = field(default_factory=list)
    num_similar: int | None = None
    similar_examples: list[tuple[str, str, float]] = field(default_factory=list)

    @property
    def empty_classes(self) -> list[str]:
        """Names of the classes without images."""
        return [name for name, count in zip(self.classes, self.images_per_class, strict=True) if not count]

    def size_quantiles(self) -> Mapping[str, tuple[int, int, int]]:
        """Smallest, median and largest "height" and "width" in pixels; empty if no image is readable."""
        if not self.heights:
            return {}
        return {
            name: (int(min(values)), int(np.median(values)), int(max(values)))
            for name, values in (("height", self.heights), ("width", self.widths))
        }


@dataclass(frozen=True)
class InspectedImage:
    """Properties of one image.

    Attributes:
        item: the image, not decoded.
        digest: hash of its content; see `levit.data.duplicates.hash_content`.
        mode: Pillow's mode; empty if the image cannot be read.
        size: width and height in pixels.
        error: reason why the image cannot be read, or None.
    """

    item: LabeledImage
    digest: bytes
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    error: str | None = None


def inspect_splits(
    splits: Mapping[str, LabeledDataset],
    *,
    threads: int = 1,
    progress: Callable[[Iterator[InspectedImage]], Iterable[InspectedImage]] = lambda images: images,
) -> list[SplitSummary]:
    """Decode every image of some splits and summarize each split.

    Duplicates are found by the hash of their content, within and across splits.

    Args:
        splits: data sets by name.
        threads: number of images to decode at once.
        progress: wraps the iterator over the images of each split, for example in a progress bar.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> (summary,) = inspect_splits({"examples": open_data("examples")})
        >>> summary.num_images, summary.num_bad, summary.modes
        (4, 0, Counter({'RGB': 4}))
    """
    first_names: dict[bytes, str] = {}  # the memory per image: a hash of 8 bytes and a name
    summaries = []
    with ThreadPoolExecutor(threads, thread_name_prefix="levit-inspect") as pool:
        for name, data in splits.items():
            summary = SplitSummary(name, data.classes, images_per_class=[0] * len(data.classes))
            for image in progress(_inspect_images(data, pool)):
                _count_labels(summary, image.item.labels)
                _count_image(summary, image)
                _count_duplicate(summary, image, first_names)
            summaries.append(summary)
    return summaries


def _inspect_images(data: LabeledDataset, pool: ThreadPoolExecutor) -> Iterator[InspectedImage]:
    items = iter(data)
    while batch := list(islice(items, _BATCH_SIZE)):
        yield from pool.map(_inspect_image, batch)


def _inspect_image(item: LabeledImage) -> InspectedImage:
    source = item.image
    if not isinstance(source, bytes | np.ndarray | Image.Image):
        try:
            source = read_content(source)
        except OSError as error:
            return InspectedImage(item, b"", error=error.strerror or str(error))
    digest = hash_content(source)
    try:
        height, width = read_reduced_image(source, _MIN_SIDE)[1]
        return InspectedImage(item, digest, _stored_mode(source), (width, height))
    except ImageError as error:
        return InspectedImage(item, digest, error=error.reason)


def _stored_mode(source: StoredImage) -> str:
    """Mode of an image before its conversion to RGB; "RGB" if it cannot be read, because decoding raises the error."""
    with suppress(Exception):
        if isinstance(source, bytes):
            with Image.open(io.BytesIO(source)) as image:
                return image.mode
    return "RGB"


def _count_labels(summary: SplitSummary, labels: tuple[int, ...]) -> None:
    summary.num_unlabeled += not labels
    for label in labels:
        if 0 <= label < len(summary.images_per_class):
            summary.images_per_class[label] += 1
        else:
            summary.num_out_of_range += 1


def _count_image(summary: SplitSummary, image: InspectedImage) -> None:
    summary.num_images += 1
    if image.error is None:
        summary.modes[image.mode] += 1
        summary.widths.append(image.size[0])
        summary.heights.append(image.size[1])
        return
    summary.num_bad += 1
    if len(summary.bad_examples) < _MAX_EXAMPLES:
        summary.bad_examples.append((image.item.name, image.error))


def _count_duplicate(summary: SplitSummary, image: InspectedImage, first_names: dict[bytes, str]) -> None:
    if not image.digest:
        return
    name = f"{summary.name}: {image.item.name}"
    first_name = first_names.setdefault(image.digest, name)
    if first_name is not name:
        summary.num_duplicates += 1
        if len(summary.duplicate_examples) < _MAX_EXAMPLES:
            summary.duplicate_examples.append((image.item.name, first_name))
