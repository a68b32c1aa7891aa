"""Parquet files in the Hugging Face image layout: a column `image` of bytes, and `label` or `labels`, one or a list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from levit.checkpoints.weight_files import hash_file
from levit.data.labeled_images import LabeledImage, label_indices
from levit.errors import DataError


class ParquetDataset:
    """The rows of one file or several, in order; images are read from them as they are wanted.

    Args:
        files: of the same columns.
        name: what to call them; None for the name of the one file.

    Raises:
        DataError: one is no parquet file, or has no column of images, or its labels have no names.
        ImportError: pyarrow is not installed.
    """

    is_any_label_correct = is_grouped = False

    def __init__(self, files: Sequence[Path], *, name: str | None = None) -> None:
        try:
            from pyarrow import parquet, types
        except ImportError as error:
            raise ImportError('reading parquet needs pyarrow: pip install "levit[evaluation]"') from error
        self.name = name or files[0].name
        self._paths, self._files = list(files), []
        for file in files:
            try:
                self._files.append(parquet.ParquetFile(file))
            except Exception as error:  # pyarrow's errors and the system's
                raise DataError(f"{file}: not a parquet file ({str(error).splitlines()[0]})") from error
        schema = self._files[0].schema_arrow
        if "image" not in schema.names:
            raise DataError(f"{files[0]}: no column 'image' (it has {', '.join(schema.names)})")
        self._label = next((column for column in ("labels", "label") if column in schema.names), None)
        # By what is in it: a column of this name has one label a row in many data sets of the hub.
        kind = schema.field(self._label).type if self._label else None
        self.is_multi_label = types.is_list(kind) or types.is_large_list(kind) if kind is not None else False
        self.classes = _class_names(schema.metadata or {}, self._label) if self._label else ()
        if self._label and not self.classes:
            raise DataError(f"{files[0]}: its labels have no names: write it with datasets and a ClassLabel column")

    def __len__(self) -> int:
        return sum(int(file.metadata.num_rows) for file in self._files)

    def __iter__(self) -> Iterator[LabeledImage]:
        columns = ["image"] if self._label is None else ["image", self._label]
        number = 0
        for file in self._files:
            for batch in _batches(file, columns, self.name):
                rows = batch.to_pydict()
                labels = rows.get(self._label or "") or [None] * len(rows["image"])
                for image, label in zip(rows["image"], labels, strict=True):
                    content, path = (image["bytes"], image.get("path")) if isinstance(image, dict) else (image, None)
                    source = content if content is not None else path or b""  # without either it cannot be read later
                    yield LabeledImage(source, label_indices(label), path or f"row {number}")
                    number += 1

    def sha256(self) -> str:
        """Of the file, or of the hashes of the files."""
        hashes = [hash_file(path) for path in self._paths]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _batches(file: Any, columns: list[str], name: str) -> Iterator[Any]:
    try:
        yield from file.iter_batches(batch_size=256, columns=columns)
    except Exception as error:  # pyarrow's errors and the system's
        raise DataError(f"{name}: damaged ({str(error).splitlines()[0]})") from error


def _class_names(metadata: dict[bytes, bytes], column: str) -> tuple[str, ...]:
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][column]
        while "names" not in feature:  # a sequence of them
            feature = feature.get("feature") or feature[0]
        return tuple(feature["names"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()
