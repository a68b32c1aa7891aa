"""A data set of the hub, through `datasets`, which caches, pins and streams it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from levit.data.labelled import LabelledImage
from levit.errors import DataError


class HubData:
    """One split of a data set with a column of images and one of labels.

    Raises:
        DataError: it cannot be fetched, or has no such columns.
        ImportError: datasets is not installed.
    """

    def __init__(self, name: str, split: str | None = None) -> None:
        try:
            import datasets
        except ImportError as error:
            raise ImportError(f"{name}: data sets of the hub need datasets: pip install datasets") from error
        try:
            available = datasets.get_dataset_split_names(name)
            wanted = split or next((one for one in ("validation", "test", "train") if one in available), available[0])
            rows = datasets.load_dataset(name, split=wanted)
        except Exception as error:  # of the hub, of the network, of the data set
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"{name}: no such file or folder, and not to be had from the hub ({reason})") from error
        self.name = f"{name} {wanted}"
        kinds = {column: type(feature).__name__ for column, feature in rows.features.items()}
        image = next((column for column, kind in kinds.items() if kind == "Image"), None)
        label = next((column for column, kind in kinds.items() if kind == "ClassLabel"), None)
        if image is None:
            raise DataError(f"{name}: no column of images (it has {', '.join(kinds)})")
        self._image, self._label = image, label
        self.classes: tuple[str, ...] = tuple(rows.features[label].names) if label else ()
        self.is_multi_label = self.any_is_right = self.is_grouped = False
        self._rows: Any = rows.cast_column(image, datasets.Image(decode=False))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[LabelledImage]:
        for number, row in enumerate(self._rows):
            image, label = row[self._image], row[self._label] if self._label else None
            source = image["bytes"] if image.get("bytes") is not None else image["path"]
            labels = () if label is None or label < 0 else (label,)
            yield LabelledImage(source, labels, image.get("path") or f"row {number}")

    def sha256(self) -> str:
        """Of the fingerprint of the data, which changes with what is in it."""
        return hashlib.sha256(str(self._rows._fingerprint).encode()).hexdigest()
