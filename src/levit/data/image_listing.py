"""Listing of the images in a folder, with a count of the files that are skipped."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from levit.errors import DataError, LevitWarning
from levit.spec.image_files import HEIF_SUFFIXES, is_image, is_system_folder

_UNREAD_SUFFIXES = HEIF_SUFFIXES | frozenset(
    ".3gp .arw .avi .cr2 .cr3 .dng .jxl .m4v .mkv .mov .mp4 .nef .orf .psd .raf .svg .webm".split()  # noqa: SIM905
)
_HEIF_HINT = 'which needs pip install "levit[heif]"'


class SkippedFiles:
    """Files that look like images and are not listed, by reason, with the first name of each.

    Examples:
        >>> skipped = SkippedFiles()
        >>> skipped.add("broken links", "cat/1.jpg")
        >>> skipped.describe()
        '1 broken links (cat/1.jpg)'
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, reason: str, name: str) -> None:
        """Count a file or folder."""
        self._counts[reason] += 1
        self._examples.setdefault(reason, name)

    def add_if_photo(self, name: str) -> None:
        """Count a file if its suffix is that of a picture in a format that cannot be read here."""
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path for each file is slow)
        if suffix in _UNREAD_SUFFIXES:
            self.add(f"{suffix} files", name)

    def update(self, other: SkippedFiles) -> None:
        """Add the files of another list."""
        self._counts.update(other._counts)
        self._examples = other._examples | self._examples

    def describe(self) -> str:
        """Counts and first names in one line, with how to read HEIF files; empty if nothing was skipped."""
        parts = [f"{count:,} {reason} ({self._examples[reason]})" for reason, count in self._counts.items()]
        if any(reason.startswith(tuple(HEIF_SUFFIXES)) for reason in self._counts):
            parts[-1] += f", {_HEIF_HINT}"
        return ", ".join(parts)

    def warn(self, folder: Path) -> None:
        """Warn about the files, if there are any."""
        if self._counts:
            warnings.warn(f"{folder}: not read: {self.describe()}", LevitWarning, stacklevel=2)


def list_images(
    folder: Path, subfolder: str = "", *, depth: int | None = None, skipped: SkippedFiles | None = None
) -> Iterator[str]:
    """Names of the images in a folder and below it, relative to it, sorted folder by folder.

    Links to files and folders are followed; a link to a folder that contains it is skipped. Hidden folders and those of
    operating systems are skipped (see `levit.spec.image_files.is_system_folder`).

    Args:
        folder: folder that the names are relative to.
        subfolder: the only subfolder to list; empty for the whole folder.
        depth: number of levels of subfolders to descend; None for all.
        skipped: counts the files that look like images but are not listed: other formats, broken links, pipes.

    Raises:
        DataError: a folder cannot be listed.
    """
    try:
        root = (folder / subfolder).resolve()
        parents = frozenset(_identity(parent) for parent in (folder, root, *root.parents))
    except OSError as error:
        raise DataError(f"cannot be listed ({error.strerror})", source=folder / subfolder) from error
    yield from _list(folder, subfolder, depth, SkippedFiles() if skipped is None else skipped, parents)


def list_folders(folder: Path) -> list[str]:
    """Names of the subfolders of a folder, also linked ones, without those of operating systems, sorted.

    Raises:
        DataError: the folder cannot be listed.
    """
    return [entry.name for entry in _scan(folder, "") if _is_folder(entry) and not is_system_folder(entry.name)]


def _list(
    folder: Path, subfolder: str, depth: int | None, skipped: SkippedFiles, parents: frozenset[tuple[int, int]]
) -> Iterator[str]:
    for entry in _scan(folder, subfolder):
        name = f"{subfolder}/{entry.name}" if subfolder else entry.name
        if _is_folder(entry):
            if depth == 0 or is_system_folder(entry.name):
                continue
            identity = _identity(entry)
            if identity in parents:
                skipped.add("links to a folder that contains them", name)
                continue
            yield from _list(folder, name, None if depth is None else depth - 1, skipped, parents | {identity})
        elif is_image(entry.name):
            if _is_file(entry):
                yield name
            else:
                skipped.add("broken links" if entry.is_symlink() else "files that are not regular", name)
        else:
            skipped.add_if_photo(name)


def _scan(folder: Path, subfolder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder / subfolder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"cannot be listed ({error.strerror})", source=folder / subfolder) from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _identity(path: os.PathLike[str]) -> tuple[int, int]:
    status = os.stat(path)  # noqa: PTH116 (not `DirEntry.stat`, which has no inode on Windows)
    return status.st_dev, status.st_ino
