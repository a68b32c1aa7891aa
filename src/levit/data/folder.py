"""A folder of images: the subfolders name the classes; without subfolders there are no labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from levit.data.labelled import LabelledImage
from levit.errors import DataError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".avif"})


class ImageFolder:
    """Images in `folder/<class>/…`, or directly in a folder without labels; the classes in alphabetical order.

    Raises:
        DataError: there are no images.
    """

    def __init__(self, folder: Path) -> None:
        self.name = folder.name or str(folder)
        folders = sorted(one for one in folder.iterdir() if one.is_dir() and any(_images(one)))
        self.classes = tuple(one.name for one in folders)
        self._folder = folder
        self._files: list[tuple[Path, int | None]] = [
            (file, label) for label, one in enumerate(folders) for file in sorted(_images(one))
        ] or [(file, None) for file in sorted(_images(folder))]
        if not self._files:
            raise DataError(f"{folder}: no images in it ({', '.join(sorted(EXTENSIONS))})")

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[LabelledImage]:
        for file, label in self._files:
            yield LabelledImage(file, label)

    def sha256(self) -> str:
        """Of the files' names and contents, in order."""
        digest = hashlib.sha256()
        for file, _ in self._files:
            digest.update(file.relative_to(self._folder).as_posix().encode(errors="surrogateescape") + b"\0")
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


def _images(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file())
