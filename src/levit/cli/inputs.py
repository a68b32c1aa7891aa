"""Expansion of command-line arguments (files, folders, patterns, standard input) to image files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from levit.cli.skipped_files import SkippedFileCounter
from levit.cli.standard_input import waiting_lines
from levit.errors import DataError
from levit.spec.image_files import is_image, is_system_folder


class ImageInput(NamedTuple):
    """File to read as an image.

    Attributes:
        path: the path, as given or as found below a given folder. It may not exist: reading it raises the error.
    """

    path: str


class MissingInput(NamedTuple):
    """Argument for which no image exists.

    Attributes:
        name: the argument, or the folder that cannot be listed.
        reason: reason why there is no image.
    """

    name: str
    reason: str


class Pause:
    """No further name is waiting on standard input: what came before is classified now."""


Input = ImageInput | MissingInput | Pause

_MAX_NAME = 4096  # characters
_LIST_SUFFIXES = (".txt", ".lst", ".list")


def iterate_inputs(arguments: Iterable[str], skipped: SkippedFileCounter) -> Iterator[Input]:
    """Expand arguments to image files, lazily and in order.

    A folder gives all images below it, sorted, also below linked folders, but not those of operating systems (as
    `@eaDir`), nor hidden ones. A pattern gives its matches and the images below matching folders (only images where it
    ends in `**`), without hidden ones;
    `-` the files and folders listed on standard input, one per line; anything else is a file.

    Args:
        arguments: files, folders, patterns or `-`.
        skipped: counts the files in folders that are not images, such as `.heic`.

    Yields:
        Each file, and each argument without files, in the order of the arguments; a `Pause` where the next name on
        standard input is not known yet.

    Raises:
        DataError: standard input is not a list of names.
    """
    for argument in arguments:
        if argument == "-":
            yield from _or_missing(_from_stdin(skipped), argument, "no file names on standard input")
        elif glob.has_magic(argument) and not os.path.lexists(argument):
            yield from _or_missing(_matching(argument, skipped), argument, "no file matches this pattern")
        else:
            yield from _file_or_folder(argument, skipped)


def _from_stdin(skipped: SkippedFileCounter) -> Iterator[Input]:
    is_name_pending = False
    for number, line in enumerate(waiting_lines()):
        if line is None:
            if is_name_pending:
                yield Pause()
            is_name_pending = False
            continue
        line = line.removeprefix("\ufeff") if number == 0 else line  # byte order mark of some editors
        if "\0" in line:
            raise DataError(
                "not a list of file names, one per line",
                source="standard input",
                hint="give an image by its path",
            )
        if line.strip():
            is_name_pending = True
            yield from _file_or_folder(line.rstrip("\r\n"), skipped)


def _file_or_folder(path: str, skipped: SkippedFileCounter) -> Iterator[Input]:
    if os.path.isdir(path):
        yield from _or_missing(_walk(path, frozenset(), skipped), path, "no images in this folder")
    elif path.lower().endswith(_LIST_SUFFIXES) and _is_list(path):
        yield MissingInput(path, "a list of files, which is read from standard input: give - and < LIST")
    else:
        yield ImageInput(path)


def _is_list(path: str) -> bool:
    """Return whether the first line of a file is the name of an existing file."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as stream:
            line = stream.readline(_MAX_NAME).rstrip("\r\n")
        return bool(line) and os.path.exists(line)
    except (OSError, ValueError):  # unreadable, or a line with a null character
        return False


def _matching(pattern: str, skipped: SkippedFileCounter) -> Iterator[Input]:
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
        if _is_hidden(Path(match), path):
            continue
        if only_images and os.path.islink(match) and os.path.isdir(match):
            continue
        if only_images and os.path.isfile(match) and not is_image(match):
            skipped.add(match)
            continue
        for item in [ImageInput(match)] if os.path.isfile(match) else _walk(match, frozenset(), skipped):
            if item not in seen:
                seen.add(item)
                yield item


def _is_hidden(match: Path, pattern: Path) -> bool:
    """Return whether a wildcard matched a name that begins with a dot, which in shells only one with a dot does."""
    parts = pattern.parts
    start = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    has_dot = any(part.startswith(".") for part in parts[start:])
    return not has_dot and any(part.startswith(".") for part in match.parts[start:])


def _walk(folder: str, parents: frozenset[str], skipped: SkippedFileCounter) -> Iterator[Input]:
    """All images below a folder, in the order of their names; those of a folder before those of its subfolders.

    Links to folders are followed as the readers of labeled images do, but not to one of the `parents`.
    """
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
            skipped.add(os.path.join(folder, name))
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
