"""Expansion of command-line arguments (files, folders, patterns, standard input) to image files."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from levit.data.image_listing import SkippedFiles
from levit.errors import DataError
from levit.spec.image_files import is_image, is_system_folder


@dataclass(frozen=True)
class ImageInput:
    """File to read as an image.

    Attributes:
        path: the path, as given or as found below a given folder. It may not exist: reading it raises the error.
    """

    path: str


@dataclass(frozen=True)
class MissingInput:
    """Argument for which no image exists.

    Attributes:
        name: the argument, or the folder that cannot be listed.
        reason: reason why there is no image.
    """

    name: str
    reason: str


Input = ImageInput | MissingInput


def iterate_inputs(arguments: Iterable[str]) -> Iterator[Input]:
    """Expand arguments to image files, lazily and in order.

    A folder gives all images below it, sorted, also below linked folders, but not those of operating systems (as
    `@eaDir`); a warning counts photos of formats that cannot be read, such as `.heic`. A pattern gives its matches and
    the images below matching folders (only images where it ends in `**`); `-` the files and folders listed on standard
    input, one per line; anything else is a file.

    Args:
        arguments: files, folders, patterns or `-`.

    Yields:
        Each file, and each argument without files, in the order of the arguments.

    Raises:
        DataError: standard input is not a list of names.
    """
    for argument in arguments:
        if argument == "-":
            yield from _or_missing(_from_stdin(), argument, "no file names on standard input")
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            yield from _or_missing(_matching(argument), argument, "no file matches this pattern")
        else:
            yield from _file_or_folder(argument)


def _from_stdin() -> Iterator[Input]:
    for number, line in enumerate(sys.stdin or ()):  # None if it was closed
        line = line.removeprefix("\ufeff") if number == 0 else line  # byte order mark of some editors
        if "\0" in line:
            raise DataError(
                "not a list of file names, one per line",
                source="standard input",
                hint="give an image by its path",
            )
        if line.strip():
            yield from _file_or_folder(line.rstrip("\r\n"))


def _file_or_folder(path: str) -> Iterator[Input]:
    if os.path.isdir(path):
        yield from _or_missing(_images_below(path), path, "no images in this folder")
    else:
        yield ImageInput(path)


def _matching(pattern: str) -> Iterator[Input]:
    path = Path(pattern)
    root, relative = Path(path.anchor), pattern[len(path.anchor) :]
    only_images = path.name == "**"
    try:
        # pathlib, because its `**` does not follow links, which may be cyclic (Python 3.13 lists them, though).
        matches = sorted(map(str, root.glob(relative)))
    except ValueError:  # before Python 3.13
        yield MissingInput(pattern, "** stands for folders, between slashes: **/*.jpg")
        return
    seen: set[Input] = set()  # `**` matches a folder and its content
    for match in matches:
        if only_images and os.path.islink(match) and os.path.isdir(match):
            continue
        for item in [ImageInput(match)] if os.path.isfile(match) else _images_below(match):
            is_other_file = only_images and isinstance(item, ImageInput) and not is_image(item.path)
            if item not in seen and not is_other_file:
                seen.add(item)
                yield item


def _images_below(folder: str) -> Iterator[Input]:
    """All images below a folder, in the order of their names; those of a folder before those of its subfolders."""
    skipped = SkippedFiles()
    yield from _walk(folder, frozenset(), skipped)
    skipped.warn(Path(folder))


def _walk(folder: str, parents: frozenset[str], skipped: SkippedFiles) -> Iterator[Input]:
    """Follow links to folders as the readers of labeled images do, but not to one of the `parents`."""
    identity = os.path.realpath(folder)
    if identity in parents or any(parent.startswith(os.path.join(identity, "")) for parent in parents):
        return
    try:
        with os.scandir(folder) as entries:
            names = sorted((entry.name, _is_folder(entry)) for entry in entries)
    except OSError as error:
        yield MissingInput(folder, f"cannot be listed: {error.strerror}")
        return
    for name, is_folder in names:
        if is_folder:
            continue
        if is_image(name):
            yield ImageInput(os.path.join(folder, name))
        else:
            skipped.add_if_photo(os.path.join(folder, name))
    for name, is_folder in names:
        if is_folder and not is_system_folder(name):
            yield from _walk(os.path.join(folder, name), parents | {identity}, skipped)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _or_missing(inputs: Iterator[Input], name: str, reason: str) -> Iterator[Input]:
    first = next(inputs, None)
    if first is None:
        yield MissingInput(name, reason)
        return
    yield first
    yield from inputs
