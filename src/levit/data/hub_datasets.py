"""A data set of the hub, through `datasets`, which caches, pins and streams it."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from levit.data.image_folder import choose_split
from levit.data.labeled_images import LabeledImage, NoSplitError, label_indices
from levit.errors import DataError

_SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})(?:-\w+)?\.\w+")


class HubDataset:
    """One split of a data set with a column of images and one of labels.

    Without a network it is what `datasets` has prepared before, or else what was downloaded into the hub's cache
    (`hf download user/flowers --repo-type dataset`).

    Raises:
        DataError: it cannot be fetched, is incomplete, or has no such columns or split.
        ImportError: datasets is not installed.
    """

    def __init__(self, name: str, split: str | None = None) -> None:
        try:
            import datasets
        except ImportError as error:
            raise ImportError(
                f"{name}: no such file or folder; for a data set of the hub of that name: pip install datasets"
            ) from error
        rows, wanted = _load(datasets, name, split)
        self.name = f"{name} {wanted}"
        kinds = {column: type(feature).__name__ for column, feature in rows.features.items()}
        image = next((column for column, kind in kinds.items() if kind == "Image"), None)
        # Of an image with several labels a list of them.
        names = {column: getattr(feature, "feature", feature) for column, feature in rows.features.items()}
        label = next((column for column, one in names.items() if isinstance(one, datasets.ClassLabel)), None)
        if image is None:
            raise DataError(f"{name}: no column of images (it has {', '.join(kinds)})")
        self._image, self._label = image, label
        self.classes: tuple[str, ...] = tuple(names[label].names) if label else ()
        self.is_multi_label = label is not None and kinds[label] != "ClassLabel"
        self.is_any_label_correct = self.is_grouped = False
        self._rows: Any = rows.cast_column(image, datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[LabeledImage]:
        for number, row in enumerate(self._rows):
            image, label = row[self._image] or {}, row[self._label] if self._label else None
            content, path = image.get("bytes"), image.get("path")
            source = content if content is not None else path or b""  # without either it cannot be read later
            yield LabeledImage(source, label_indices(label), path or f"row {number}")

    def sha256(self) -> str:
        """Of the labels and contents of the images, in order: the same on every machine."""
        digest = hashlib.sha256()
        for item in self:
            content = item.image if isinstance(item.image, bytes) else b""
            with suppress(OSError):  # whoever judges it counts and names it
                content = content or Path(str(item.image)).read_bytes()
            digest.update(repr(item.labels).encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()


def _load(datasets: Any, name: str, split: str | None) -> tuple[Any, str]:
    """The rows of a split, and what it is called."""
    source = name
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        available = datasets.get_dataset_split_names(source)
    except Exception as error:  # of the hub, of the network, of the data set
        downloaded = _find_downloaded(name)
        if downloaded is None:
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{name}: no such file or folder, and not to be had from the hub ({reason})") from error
        source, available = str(downloaded), ()
    try:
        available = available or datasets.get_dataset_split_names(source)
        wanted = choose_split(available, split) or (available[0] if split is None else None)
        if wanted is None:
            raise NoSplitError(f"{name}: no split {split!r} (there: {', '.join(available)})")
        return datasets.load_dataset(source, split=wanted), wanted
    except NoSplitError:
        raise
    except Exception as error:  # likewise
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{name}: cannot be loaded ({reason})") from error


def _find_downloaded(name: str) -> Path | None:
    """Where the hub's cache has the files of a data set, which `datasets` itself does not look at without a network.

    Raises:
        DataError: some of them are missing there.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None
    shards = [found.groups() for file in folder.rglob("*") if (found := _SHARD.fullmatch(file.name))]
    for (start, whole), count in Counter(shards).items():
        if count < int(whole):
            raise DataError(f"{name}: the hub's cache has {count} of {int(whole)} files of {start}: download it again")
    return folder
