"""What the user names on the command line -> image files, one at a time."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from levit.errors import DataError
from levit.spec.image_files import is_image


@dataclass(frozen=True)
class NoImages:
    """Something the user named that leads to no image: reported like an image that cannot be read."""

    name: str
    reason: str


def expand(names: Iterable[str]) -> Iterator[str | NoImages]:
    """The files that names on a command line mean, lazily and in order.

    A file is itself, a folder all images below it (sorted), a pattern its matches (the images among them, where
    it ends in `**`), `-` a list of files and folders on
    standard input, one a line. A file that is not there is passed on, so that reading it gives the error.

    Raises:
        DataError: standard input is no list of names.
    """
    for name in names:
        if name == "-":
            yield from _or_none(_listed(), name, "no file names on standard input")
        elif glob.has_magic(name) and not os.path.lexists(name):
            yield from _or_none(_matching(name), name, "no file matches this pattern")
        else:
            yield from _file_or_folder(name)


def _listed() -> Iterator[str | NoImages]:
    for number, line in enumerate(sys.stdin or ()):  # None where it was closed
        line = line.removeprefix("\ufeff") if number == 0 else line  # what some editors put before a list
        if "\0" in line:
            raise DataError("standard input is no list of file names, one a line: give the image itself as a path")
        if line.strip():
            yield from _file_or_folder(line.rstrip("\r\n"))


def _file_or_folder(name: str) -> Iterator[str | NoImages]:
    if os.path.isdir(name):
        yield from _or_none(_below(name), name, "no images in this folder")
    else:
        yield name


def _matching(pattern: str) -> Iterator[str | NoImages]:
    path = Path(pattern)
    root, below = Path(path.anchor), pattern[len(path.anchor) :]
    seen: set[str | NoImages] = set()  # `**` matches a folder and what is in it
    only_images = path.name == "**"
    try:
        # pathlib, because its `**` does not follow links, which may lead in a circle (Python 3.13 names them, though).
        matches = sorted(map(str, root.glob(below)))
    except ValueError:  # before Python 3.13
        yield NoImages(pattern, "** stands for folders, between slashes: **/*.jpg")
        return
    for match in matches:
        if only_images and os.path.islink(match) and os.path.isdir(match):
            continue
        for file in [match] if os.path.isfile(match) else _below(match):
            if file not in seen and not (only_images and isinstance(file, str) and not is_image(file)):
                seen.add(file)
                yield file


def _below(folder: str) -> Iterator[str | NoImages]:
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        for name in sorted(names):
            if is_image(name):
                yield os.path.join(parent, name)
    for error in unreadable:
        yield NoImages(str(error.filename), f"cannot be listed: {error.strerror}")


def _or_none(files: Iterator[str | NoImages], name: str, reason: str) -> Iterator[str | NoImages]:
    first = next(files, None)
    if first is None:
        yield NoImages(name, reason)
        return
    yield first
    yield from files
