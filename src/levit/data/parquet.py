"""Parquet files in the Hugging Face image layout: a column `image` of bytes, and `label` or `labels`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from levit.data.file_hash import hash_files
from levit.data.labeled_images import LabeledImage, label_indices
from levit.errors import DataError, first_line

_BATCH_SIZE = 256


class ParquetDataset:
    """Rows of one parquet file or several, read lazily; see `levit.data.labeled_images.LabeledDataset`.

    Args:
        files: files with the same columns, at least one.
        name: name of the data set; None for the name of the first file.

    Raises:
        DataError: a file is not a parquet file, or has no column of images, or its classes have no names.
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
            except Exception as error:  # pyarrow and the operating system raise errors of many types
                raise DataError(f"not a parquet file ({first_line(error)})", source=file) from error
        schema = self._files[0].schema_arrow
        if "image" not in schema.names:
            raise DataError(f"no column 'image' (it has {', '.join(schema.names)})", source=files[0])
        self._label = next((column for column in ("labels", "label") if column in schema.names), None)
        # The type of the column decides, because in many data sets of the hub a column `labels` has one label per row.
        kind = schema.field(self._label).type if self._label else None
        self.is_multi_label = types.is_list(kind) or types.is_large_list(kind) if kind is not None else False
        self.classes = _class_names(schema.metadata or {}, self._label) if self._label else ()
        if self._label and not self.classes:
            hint = "write it with datasets and a ClassLabel column"
            raise DataError("its labels have no names", source=files[0], hint=hint)

    def __len__(self) -> int:
        return sum(int(file.metadata.num_rows) for file in self._files)

    def __iter__(self) -> Iterator[LabeledImage]:
        columns = ["image"] if self._label is None else ["image", self._label]
        number = 0
        for file, path in zip(self._files, self._paths, strict=True):
            for batch in _batches(file, columns, path):
                rows = batch.to_pydict()
                labels = rows.get(self._label or "") or [None] * len(rows["image"])
                for image, label in zip(rows["image"], labels, strict=True):
                    content, name = (image["bytes"], image.get("path")) if isinstance(image, dict) else (image, None)
                    source = content if content is not None else name or b""  # b"": decoding it raises the error
                    yield LabeledImage(source, label_indices(label), name or f"row {number}")
                    number += 1

    def sha256(self) -> str:
        """Hash of the file, or of the hashes of the files."""
        return hash_files(self._paths)


def _batches(file: Any, columns: list[str], path: Path) -> Iterator[Any]:
    try:
        yield from file.iter_batches(batch_size=_BATCH_SIZE, columns=columns)
    except Exception as error:  # pyarrow and the operating system raise errors of many types
        raise DataError(f"damaged ({first_line(error)})", source=path) from error


def _class_names(metadata: dict[bytes, bytes], column: str) -> tuple[str, ...]:
    """Class names in the features that `datasets` writes into the metadata; none if they are not there."""
    try:
        feature = json.loads(metadata[b"huggingface"])["info"]["features"][column]
        while "names" not in feature:  # a sequence of labels
            feature = feature.get("feature") or feature[0]
        return tuple(feature["names"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return ()
