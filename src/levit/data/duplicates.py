"""Images that are there twice, found by their content: in what is judged, and in the other parts of the data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from os import fspath
from pathlib import Path

import numpy as np
from PIL import Image

from levit.data.labeled_images import LabeledImage, LabeledImages
from levit.images.decoding import ImageSource

MOST_COMPARED = 100_000  # images of another part: more of them are not read for this
_AT_ONCE = 64
_NAMED = 100

Hashed = tuple[LabeledImage, bytes]


@dataclass(frozen=True)
class Duplicates:
    """Images that are there twice.

    Attributes:
        within: images whose file is that of an earlier one.
        elsewhere: images that another part of the data has too.
        named: the first of both, each with where it also is; those of other parts come first.
        compared: the other parts that were looked at.
        left_out: those that were not, because they are too large -> their number of images.
    """

    within: int
    elsewhere: int
    named: tuple[tuple[str, str], ...]
    compared: tuple[str, ...]
    left_out: Mapping[str, int]


def find_duplicates(
    data: LabeledImages,
    others: Mapping[str, LabeledImages],
    *,
    threads: int = 1,
    watch: Callable[[Iterator[Hashed]], Iterable[Hashed]] = lambda hashed: hashed,
) -> Duplicates:
    """Find images of the same content in some images, and among those of other parts of the data.

    Every file is read once. What cannot be read is no duplicate; whoever judges it says so.

    Args:
        data: the images.
        others: the other parts by name; one of more than `MOST_COMPARED` images is left out.
        threads: how many files to read at once.
        watch: what the images pass through, to show progress.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> found = find_duplicates(open_data("examples"), {"train": open_data("examples")})
        >>> found.within, found.elsewhere, found.named[0]
        (0, 4, ('cat.jpg', 'train: cat.jpg'))
    """
    first, copies = dict[bytes, str](), Counter[bytes]()
    within, elsewhere = list[tuple[str, str]](), list[tuple[str, str]]()
    left_out = {name: len(part) for name, part in others.items() if len(part) > MOST_COMPARED}
    compared = tuple(name for name in others if name not in left_out)
    with ThreadPoolExecutor(threads, thread_name_prefix="levit-hash") as pool:
        for item, digest in watch(_hash_all(iter(data), pool)):
            if digest in first:
                within.append((item.name, first[digest]))
                copies[digest] += 1
            elif digest:
                first[digest] = item.name
        also = 0
        for name in compared:
            for item, digest in watch(_hash_all(iter(others[name]), pool)):
                if digest in first:
                    elsewhere.append((first.pop(digest), f"{name}: {item.name}"))
                    also += copies[digest]
    named = (*elsewhere[:_NAMED], *within[:_NAMED])
    return Duplicates(len(within), len(elsewhere) + also, named, compared, left_out)


def hash_content(image: ImageSource) -> bytes:
    """Eight bytes that are the same for the same file or pixels; none for what cannot be read, or is open already."""
    if isinstance(image, Image.Image):
        return b""
    if not isinstance(image, bytes | np.ndarray):
        try:
            image = Path(fspath(image)).read_bytes()
        except OSError:
            return b""
    return hashlib.blake2b(image if isinstance(image, bytes) else image.tobytes(), digest_size=8).digest()


def _hash_all(items: Iterator[LabeledImage], pool: ThreadPoolExecutor) -> Iterator[Hashed]:
    while batch := list(islice(items, _AT_ONCE)):
        yield from zip(batch, pool.map(hash_content, [item.image for item in batch]), strict=True)
