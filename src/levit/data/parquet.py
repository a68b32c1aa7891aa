"""A parquet file in the Hugging Face image layout: a column `image` of bytes and a column `label`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from levit.checkpoints.arrays import hash_file
from levit.data.labelled import LabelledImage
from levit.errors import DataError


class ImageParquet:
    """The rows of a parquet file; images are read from it as they are wanted.

    Raises:
        DataError: it is no parquet file, or has no column of images, or its labels have no names.
    """

    def __init__(self, file: Path) -> None:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise ImportError('reading parquet needs pyarrow: pip install "levit[quantization]"') from error
        self.name = file.name
        self._path = file
        try:
            self._file: Any = parquet.ParquetFile(file)
        except Exception as error:  # pyarrow's errors and the system's
            raise DataError(f"{file}: not a parquet file ({str(error).splitlines()[0]})") from error
        columns = self._file.schema_arrow.names
        if "image" not in columns:
            raise DataError(f"{file}: no column 'image' (it has {', '.join(columns)})")
        self._columns = ["image", "label"] if "label" in columns else ["image"]
        self.classes = _class_names(self._file.schema_arrow.metadata or {}) if "label" in columns else ()
        if "label" in columns and not self.classes:
            raise DataError(f"{file}: its labels have no names: write it with datasets and a ClassLabel column")

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def __iter__(self) -> Iterator[LabelledImage]:
        for batch in self._file.iter_batches(batch_size=256, columns=self._columns):
            rows = batch.to_pydict()
            labels = rows.get("label") or [None] * len(rows["image"])
            for image, label in zip(rows["image"], labels, strict=True):
                yield LabelledImage(image["bytes"] if isinstance(image, dict) else image, label)

    def sha256(self) -> str:
        """Of the file."""
        return hash_file(self._path)


def _class_names(metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return tuple(features["label"]["names"])
    except (KeyError, TypeError, ValueError):
        return ()
