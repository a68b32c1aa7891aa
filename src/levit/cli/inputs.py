"""What the user names on the command line -> image files, one at a time."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SUFFIXES = frozenset(
    ".avif .bmp .dib .gif .ico .j2k .jfif .jp2 .jpe .jpeg .jpg .pbm .pgm .png .pnm .ppm .tga .tif .tiff .webp".split()  # noqa: SIM905
)


@dataclass(frozen=True)
class NoImages:
    """Something the user named that leads to no image: reported like an image that cannot be read."""

    name: str
    reason: str


def expand(names: Iterable[str]) -> Iterator[str | NoImages]:
    """The files that names on a command line mean, lazily and in order.

    A file is itself, a folder all images below it (sorted), a pattern its matches, `-` a list of files on standard
    input, one a line. A file that is not there is passed on, so that reading it gives the error.
    """
    for name in names:
        if name == "-":
            yield from (line for line in (line.rstrip("\r\n") for line in sys.stdin) if line)
        elif os.path.isdir(name):
            yield from _or_none(_below(name), name, "no images in this folder")
        elif glob.has_magic(name) and not os.path.exists(name):
            yield from _or_none(_matching(name), name, "no file matches this pattern")
        else:
            yield name


def _matching(pattern: str) -> Iterator[str]:
    seen: set[str] = set()  # `**` matches a folder and what is in it
    for match in sorted(glob.iglob(pattern, recursive=True)):
        for file in [match] if os.path.isfile(match) else _below(match):
            if file not in seen:
                seen.add(file)
                yield file


def _below(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in SUFFIXES:
                yield os.path.join(parent, name)


def _or_none(files: Iterator[str], name: str, reason: str) -> Iterator[str | NoImages]:
    first = next(files, None)
    if first is None:
        yield NoImages(name, reason)
        return
    yield first
    yield from files
