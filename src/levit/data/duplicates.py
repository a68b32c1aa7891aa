"""Duplicate images, found by the hash of their content, within a data set and across its splits."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
from PIL import Image

from levit.data.file_content import read_content
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import DataError, LevitWarning, first_line
from levit.images.sources import StoredImage

MAX_COMPARED_IMAGES = 100_000
"""Default limit on the size of another split, in images: reading a larger one takes too long."""

_BATCH_SIZE = 64
_MAX_EXAMPLES = 100
_HASH_BYTES = 8

HashedImage = tuple[LabeledImage, bytes]


@dataclass(frozen=True)
class Duplicates:
    """Counts and examples of duplicate images.

    Attributes:
        num_within: number of images whose content equals that of an earlier image of the same data set.
        num_across: number of images whose content is also in another split.
        examples: pairs of the name of a duplicate and the name of the image that it equals, as `split: name` if that is
            in another split; the first 100 across splits, then the first 100 within the data set.
        compared_splits: names of the other splits that were read.
        skipped_splits: name and number of images of the other splits that were too large, or could not be read.
    """

    num_within: int
    num_across: int
    examples: tuple[tuple[str, str], ...]
    compared_splits: tuple[str, ...]
    skipped_splits: Mapping[str, int]


def find_duplicates(
    data: LabeledDataset,
    other_splits: Mapping[str, LabeledDataset],
    *,
    threads: int = 1,
    max_compared_images: int = MAX_COMPARED_IMAGES,
    progress: Callable[[Iterator[HashedImage]], Iterable[HashedImage]] = lambda hashed: hashed,
) -> Duplicates:
    """Find images whose content occurs more than once in a data set, or also in its other splits.

    Every file is read once, unless `data` contains hashes (`levit.data.read_once`). An image that cannot be read is not
    counted as a duplicate. Another split that cannot be read is skipped, with a warning.

    Args:
        data: the data set.
        other_splits: its other splits, by name.
        threads: number of files to read at once.
        max_compared_images: skip other splits with more images.
        progress: wraps the iterator over the hashed images of each data set, for example in a progress bar.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> duplicates = find_duplicates(open_data("examples"), {"train": open_data("examples")})
        >>> duplicates.num_within, duplicates.num_across, duplicates.examples[0]
        (0, 4, ('cat.jpg', 'train: cat.jpg'))
    """
    first_names, num_copies = dict[bytes, str](), Counter[bytes]()
    within, across = list[tuple[str, str]](), list[tuple[str, str]]()
    skipped = {name: len(split) for name, split in other_splits.items() if len(split) > max_compared_images}
    with ThreadPoolExecutor(threads, thread_name_prefix="levit-hash") as pool:
        for item, digest in progress(hash_images(data, pool)):
            if digest in first_names:
                within.append((item.name, first_names[digest]))
                num_copies[digest] += 1
            elif digest:
                first_names[digest] = item.name
        num_across = 0
        for name in [name for name in other_splits if name not in skipped]:
            hashed = progress(hash_images(other_splits[name], pool))
            try:
                found = [(digest, item.name) for item, digest in hashed if digest in first_names]
            except (DataError, OSError) as error:
                warnings.warn(f"{name} is not searched for duplicates: {first_line(error)}", LevitWarning, stacklevel=2)
                skipped[name] = len(other_splits[name])
                continue
            for digest, other in found:
                if digest in first_names:  # removed, so that each image counts once
                    across.append((first_names.pop(digest), f"{name}: {other}"))
                    num_across += 1 + num_copies[digest]
    compared = tuple(name for name in other_splits if name not in skipped)
    examples = (*across[:_MAX_EXAMPLES], *within[:_MAX_EXAMPLES])
    return Duplicates(len(within), num_across, examples, compared, skipped)


class ContentHash(bytes):
    """SHA-256 of the content of an image that was read before, in place of the content; empty if it was unreadable."""


def hash_content(image: StoredImage) -> bytes:
    """Hash the file content or the pixels of an image.

    Returns:
        The first 8 bytes of the SHA-256; empty for a file that cannot be read and for a PIL image.
    """
    if isinstance(image, ContentHash):
        return bytes(image[:_HASH_BYTES])
    if isinstance(image, Image.Image):
        return b""
    if not isinstance(image, bytes | np.ndarray):
        try:
            image = read_content(image)
        except OSError:
            return b""
    return hashlib.sha256(image if isinstance(image, bytes) else image.tobytes()).digest()[:_HASH_BYTES]


def hash_images(data: LabeledDataset, pool: ThreadPoolExecutor) -> Iterator[HashedImage]:
    """Yield each image with the hash of its content, computed by the threads of a pool."""
    items = iter(data)
    while batch := list(islice(items, _BATCH_SIZE)):
        yield from zip(batch, pool.map(hash_content, [item.image for item in batch]), strict=True)
