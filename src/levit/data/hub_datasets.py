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
from levit.data.record_values import in_record, label_indices, label_names, normalize_name
from levit.data.split_names import find_split_name, no_split_error
from levit.errors import DataError, first_line
from levit.logs import is_quiet

_LABEL_TYPE = re.compile(r"u?int\d+|(large_)?string")
_SHARD_NAME = re.compile(r"(.*)-\d{5}-of-(\d{5})(?:-\w+)?\.\w+")


class HubDataset:
    """Split of a hub data set with columns of images and labels; see `levit.data.labeled_images.LabeledDataset`.

    The labels are a ClassLabel, or class names in a column `label`, `labels` or `fine_label`. For several columns of
    one type see `levit.data.image_columns`.

    Without a network, it is read from the cache of `datasets`, or from the cache of the hub
    (`hf download user/flowers --repo-type dataset`).

    Args:
        name: `user/name` on the hub.
        split: validation, test, train or another split; None for the first of these three, or else the first split.

    Raises:
        DataError: it cannot be downloaded, is incomplete, has no images or no such split, or does not show by name
            which of several columns to read, or its labels are numbers without names.
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
        labels = labels or [column for column, feature in features.items() if _is_label(column, feature)]
        image = choose_column(images, IMAGE_COLUMNS, "images", name)
        label = choose_column(labels, LABEL_COLUMNS, "labels", name)
        if image is None:
            raise DataError(f"no column of images (it has {', '.join(kinds)})", source=name)
        self._image, self._label = image, label
        self.is_multi_label = label is not None and kinds[label] != type(features[label]).__name__
        self.is_any_label_correct = False
        columns = [image] if label is None else [image, label]  # others, such as masks, would be decoded for each row
        self._rows: Any = rows.select_columns(columns).cast_column(image, datasets.Image(decode=False))
        self._class_indices: dict[str, int] | None = None  # of labels that are class names
        self.classes: tuple[str, ...] = () if label is None else self._read_classes(name, label, features[label])

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[LabeledImage]:
        for number, row in enumerate(self._rows):
            image, label = row[self._image] or {}, row[self._label] if self._label else None
            content, path = image.get("bytes"), image.get("path")
            source = content if content is not None else path or b""  # b"": decoding it raises the error
            try:
                yield LabeledImage(source, self._label_indices(label), path or f"row {number}")
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

    def _read_classes(self, name: str, column: str, feature: Any) -> tuple[str, ...]:
        """Names in a ClassLabel, or the labels themselves, if they are names."""
        if hasattr(feature, "names"):
            return tuple(map(normalize_name, feature.names))
        if "string" not in feature.dtype:
            hint = "rename the column, or give it the type ClassLabel"
            raise DataError(f"the numbers in column {column} have no class names", source=name, hint=hint)
        rows = self._rows.select_columns([column])
        try:
            classes = sorted({class_name for row in rows for class_name in label_names(row[column])})
        except DataError as error:
            raise in_record(error, name, f"column {column}") from None
        self._class_indices = {class_name: index for index, class_name in enumerate(classes)}
        return tuple(classes)

    def _label_indices(self, label: Any) -> tuple[int, ...]:
        if self._class_indices is None:
            return label_indices(label)
        return tuple(self._class_indices[class_name] for class_name in label_names(label))


def _is_label(column: str, feature: Any) -> bool:
    """Return whether a column has class names or numbers of classes, by its name and type."""
    return column in LABEL_COLUMNS and _LABEL_TYPE.fullmatch(str(getattr(feature, "dtype", ""))) is not None


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
