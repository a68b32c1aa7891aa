"""Files sorted into one folder for each label, by copies or links; nothing is overwritten."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from glob import has_magic
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from levit.checkpoints.hashing import hash_file
from levit.errors import DataError
from levit.files import replacing
from levit.spec.folder_names import as_folder_name

if TYPE_CHECKING:
    from levit.runtime.prediction import Prediction

_SORTED_LEVELS = 2  # of names in the folder: that of the label, and that of the file
_MAX_FOLDER = 100  # characters of the name of a folder
_MAX_BYTES = 255  # of a name on the file systems of Linux
_NUMBER_BYTES = 10  # that a number takes in the name of a folder


@dataclass(slots=True)
class _SameName:
    """Files of one name in a folder, which differ by their numbers.

    Attributes:
        count: how many exist; their numbers are 1 to `count`.
        unread: those whose contents are not known yet.
        contents: hashes of the contents of the others.
    """

    count: int = 0
    unread: list[Path] = field(default_factory=list)
    contents: set[str] = field(default_factory=set)


class SortedFiles:
    """Folders with the files of each predicted label; "unknown" has one, too.

    A file that is already there with the same content is left alone, and one with another content gets a number.

    Args:
        folder: the folder that contains those of the labels; it may exist.
        labels: names of the classes.
        is_linked: True for symbolic links in place of copies.
        below: only files whose best score is below this number in [0, 1] are sorted; None for all.

    Attributes:
        counts: number of files by the names of their folders, which are different for different labels.

    Raises:
        DataError: `folder` is a file.
    """

    def __init__(
        self, folder: Path, labels: Iterable[str], *, is_linked: bool = False, below: float | None = None
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise DataError("a file, not a folder", source=folder)
        self.counts: Counter[str] = Counter()
        self._folder, self._is_linked, self._below = folder, is_linked, below
        self._names = _folder_names(["unknown", *(label for label in labels)])
        self._same_names: dict[Path, _SameName] = {}

    def write(self, prediction: Prediction) -> None:
        """Copy or link the file of a prediction; nothing is done for an image with an error.

        Raises:
            OSError: the file system refuses.
        """
        if prediction.error is not None:
            return
        best = prediction.top_or_unknown(1)[0]
        if self._below is not None and best.score >= self._below:
            return
        name = self._names[best.index + 1]
        source = Path(prediction.source)
        target = self._free_path(source, self._folder / name / source.name)
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._place(source, target)
        self.counts[name] += 1

    def describe(self) -> str:
        """Number of files, in all and by folder, on one line.

        Examples:
            >>> files = SortedFiles(Path("sorted"), ["cat"])
            >>> files.counts.update(["cat", "cat", "unknown"])
            >>> files.describe()
            'sorted: 3 files: 2 cat, 1 unknown'
        """
        total = self.counts.total()
        kinds = ", ".join(f"{number:,} {name}" for name, number in self.counts.most_common())
        return f"{self._folder}: {total:,} {'file' if total == 1 else 'files'}{f': {kinds}' if kinds else ''}"

    def _free_path(self, source: Path, target: Path) -> Path | None:
        """The path `target`, or that with the first free number; None if there is a file of the same content."""
        if target not in self._same_names:
            if not os.path.lexists(target):
                return target
            self._same_names[target] = _SameName()
        same = self._same_names[target]
        while os.path.lexists(path := _numbered(target, same.count + 1)):
            same.count += 1
            same.unread.append(path)
        same.contents.update(hash_file(file) for file in same.unread if file.is_file())
        same.unread.clear()
        return None if hash_file(source) in same.contents else path

    def _place(self, source: Path, target: Path) -> None:
        if self._is_linked:
            target.symlink_to(source.resolve())
            return
        with replacing(target) as partial:
            shutil.copyfile(source, partial)
            shutil.copystat(source, partial)


def check_is_apart(folder: Path, arguments: Iterable[str]) -> None:
    """Refuse a folder for sorted files inside a folder that is searched for images, which would find them again.

    Raises:
        DataError: the folder is inside one of the arguments, or a pattern matches it or files in it.
    """
    for argument in arguments:
        parts = Path(argument).parts
        count = len(parts)
        if not os.path.isdir(argument):  # noqa: PTH112
            if not has_magic(argument) or os.path.lexists(argument):
                continue
            count = next(index for index, part in enumerate(parts) if has_magic(part))
        base, target = Path(*parts[:count]).resolve(), folder.resolve()
        if target.is_relative_to(base) and _finds(parts[count:], target.relative_to(base).parts):
            raise DataError(f"is inside {argument}, which is searched for images", source=folder, hint="give another")


def _finds(pattern: tuple[str, ...], folder: tuple[str, ...]) -> bool:
    """Return whether a pattern matches a folder, one that contains it, or what is sorted into it: `label/file`."""
    if not pattern:
        return True
    if not folder:
        return sum(part != "**" for part in pattern) <= _SORTED_LEVELS
    if pattern[0] == "**":
        return _finds(pattern[1:], folder) or _finds(pattern, folder[1:])
    return fnmatch(folder[0], pattern[0]) and _finds(pattern[1:], folder[1:])


def _numbered(path: Path, number: int) -> Path:
    """Path with a number in its name, which becomes shorter where it would be too long."""
    if number == 1:
        return path
    ending = f"-{number}{path.suffix}"
    return path.with_name(_shortened(path.stem, _MAX_BYTES - _num_bytes(ending)) + ending)


def _shortened(text: str, num_bytes: int) -> str:
    """The first characters of a text, of at most this number of bytes."""
    while text and _num_bytes(text) > num_bytes:
        text = text[:-1]
    return text


def _num_bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _folder_names(labels: list[str]) -> list[str]:
    """Different names of folders, valid on every system, as similar to the labels as possible."""
    names: list[str] = []
    seen: set[str] = set()
    for label in labels:
        name = _shortened(as_folder_name(label)[:_MAX_FOLDER], _MAX_BYTES - _NUMBER_BYTES).rstrip(" .")
        numbered = chain([name], (f"{name}_{number}" for number in count(2)))
        unique = next(name for name in numbered if name.casefold() not in seen)
        seen.add(unique.casefold())
        names.append(unique)
    return names
