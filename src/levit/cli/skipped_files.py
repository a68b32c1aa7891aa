"""Count of skipped non-image files by suffix."""

from __future__ import annotations

import os
import warnings
from collections import Counter

from levit.errors import LevitWarning
from levit.spec.image_files import HEIF_SUFFIXES

_MAX_KINDS = 8
_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini"})


class SkippedFileCounter:
    """Counter of skipped files, by suffix; each file once. Hidden files and system files do not count.

    Examples:
        >>> files = SkippedFileCounter()
        >>> for name in ("1.HEIC", "2.heic", "3.mov", "notes", ".DS_Store"):
        ...     files.add(name)
        >>> files.describe()
        '4 files skipped: 2 .heic, 1 .mov, 1 without suffix: for HEIC files, pip install "levit[heif]"'
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seen: set[str] = set()

    def add(self, path: str) -> None:
        """Count a file."""
        name = os.path.basename(path)  # noqa: PTH119 (a Path for each file is slow)
        path = os.path.normpath(path)
        if name.startswith(".") or name.lower() in _SYSTEM_FILES or path in self._seen:
            return
        self._seen.add(path)
        self._counts[os.path.splitext(name)[1].lower()] += 1  # noqa: PTH122

    def describe(self) -> str:
        """The counts on one line, the largest first, with how to read HEIC files; empty if there are none."""
        if not self._counts:
            return ""
        total = self._counts.total()
        kinds = sorted(self._counts.items(), key=lambda kind: (-kind[1], kind[0] or "z"))
        parts = [f"{count:,} {suffix or 'without suffix'}" for suffix, count in kinds[:_MAX_KINDS]]
        if rest := sum(count for _, count in kinds[_MAX_KINDS:]):
            parts.append(f"{rest:,} others")
        hint = ': for HEIC files, pip install "levit[heif]"' if HEIF_SUFFIXES & self._counts.keys() else ""
        return f"{total:,} {'file' if total == 1 else 'files'} skipped: {', '.join(parts)}{hint}"

    def warn(self) -> None:
        """Warn about the files, if there are any."""
        if self._counts:
            warnings.warn(self.describe(), LevitWarning, stacklevel=2)
