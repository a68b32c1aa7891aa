"""Data sets of the Hugging Face Hub, read with `datasets`, which downloads and caches them."""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from levit.data.file_content import read_content
from levit.data.image_columns import IMAGE_COLUMNS, LABEL_COLUMNS, choose_column
from levit.data.labeled_images import LabeledImage, NoSplitError
from levit.data.record_values import in_record, label_indices, normalize_name
from levit.data.split_names import find_split_name, no_split_error
from levit.errors import DataError, first_line
from levit.logs import is_quiet

_SHARD_NAME = re.compile(r"(.*)-\d{5}-of-(\d{5})(?:-\w+)?\.\w+")


class HubDataset:
    """Split of a hub data set with an Image and a ClassLabel column; see `levit.data.labeled_images.LabeledDataset`.

    For several columns of one type see `levit.data.image_columns`.

    Without a network, it is read from the cache of `datasets`, or from the cache of the hub
    (`hf download user/flowers --repo-type dataset`).

    Args:
        name: `user/name` on the hub.
        split: validation, test, train or another split; None for the first of these three, or else the first split.

    Raises:
        DataError: it cannot be downloaded, is incomplete, has no images or no such split, or does not show by name
            which of several columns to read.
        ImportError: datasets is not installed.
    """

    def __init__(self, name: str, split: str | None = None) -> None:
        try:
            import datasets
        except ImportError as error:
            raise ImportError(
                f"{name}: no such file or folder; reading the hub data set of this name needs datasets: "
                'pip install "levit[datasets]"'
            ) from error
        rows, split = _load(datasets, name, split)
        self.name = f"{name} {split}"
        kinds = {column: type(feature).__name__ for column, feature in rows.features.items()}
        images = [column for column, kind in kinds.items() if kind == "Image"]
        # With several labels per image, the feature is a list of ClassLabel.
        features = {column: getattr(feature, "feature", feature) for column, feature in rows.features.items()}
        labels = [column for column, feature in features.items() if isinstance(feature, datasets.ClassLabel)]
        image = choose_column(images, IMAGE_COLUMNS, "images", name)
        label = choose_column(labels, LABEL_COLUMNS, "labels", name)
        if image is None:
            raise DataError(f"no column of images (it has {', '.join(kinds)})", source=name)
        self._image, self._label = image, label
        self.classes: tuple[str, ...] = tuple(map(normalize_name, features[label].names)) if label else ()
        self.is_multi_label = label is not None and kinds[label] != "ClassLabel"
        self.is_any_label_correct = self.is_grouped = False
        self._rows: Any = rows.cast_column(image, datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[LabeledImage]:
        for number, row in enumerate(self._rows):
            image, label = row[self._image] or {}, row[self._label] if self._label else None
            content, path = image.get("bytes"), image.get("path")
            source = content if content is not None else path or b""  # b"": decoding it raises the error
            try:
                yield LabeledImage(source, label_indices(label), path or f"row {number}")
            except DataError as error:
                raise in_record(error, self.name, f"row {number}") from None

    def sha256(self) -> str:
        """Hash of the labels and contents of the images, in order: the same on every machine."""
        digest = hashlib.sha256()
        for item in self:
            content = item.image if isinstance(item.image, bytes) else b""
            with suppress(OSError):
                content = content or read_content(str(item.image))
            digest.update(repr(item.labels).encode() + hashlib.sha256(content).digest())
        return digest.hexdigest()


def _load(datasets: Any, name: str, split: str | None) -> tuple[Any, str]:
    """Rows and name of a split."""
    if not sys.stderr.isatty() or is_quiet():
        datasets.disable_progress_bars()
    source, available = name, ()
    try:
        available = datasets.get_dataset_split_names(source)
    except Exception as error:  # of the hub, of the network, of the data set
        snapshot = _find_snapshot(name)
        if snapshot is None:
            reason = f"no such file or folder, and not available from the hub ({first_line(error)})"
            raise DataError(reason, source=name) from error
        source = str(snapshot)
    try:
        available = available or datasets.get_dataset_split_names(source)
        split_name = find_split_name(available, split) or (available[0] if split is None else None)
        if split_name is None:
            raise no_split_error(name, str(split), available)
        return datasets.load_dataset(source, split=split_name), split_name
    except NoSplitError:
        raise
    except Exception as error:  # of the network, of the data set
        raise DataError(f"cannot be loaded ({first_line(error)})", source=name) from error


def _find_snapshot(name: str) -> Path | None:
    """Folder of a data set in the cache of the hub, which `datasets` itself does not use without a network.

    Raises:
        DataError: some of its files are missing.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None
    shards = [match.groups() for file in folder.rglob("*") if (match := _SHARD_NAME.fullmatch(file.name))]
    for (prefix, total), count in Counter(shards).items():
        if count < int(total):
            reason = f"the hub's cache has {count} of {int(total)} files of {prefix}"
            raise DataError(reason, source=name, hint="download it again")
    return folder
