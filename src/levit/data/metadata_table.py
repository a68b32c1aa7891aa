"""Images with a table of labels: `metadata.csv` or `metadata.jsonl`, as in the `imagefolder` of `datasets`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList, FileListDataset
from levit.errors import DataError, first_line

_FILE_NAMES = ("metadata.csv", "metadata.jsonl")


def find_table(folder: Path) -> Path | None:
    """Path of the table of a folder, or None."""
    return next((folder / name for name in _FILE_NAMES if (folder / name).is_file()), None)


def open_image_table(table: Path) -> FileListDataset:
    """Open the images of column `file_name`, with labels from column `label` or `labels`.

    `label` is one class name; `labels` are several, as a list or separated by `|`. The classes are all class names that
    occur, in alphabetical order.

    Raises:
        DataError: the table cannot be read, is empty, or has a row without a file name.
    """
    rows = list(_read(table))
    if not rows:
        raise DataError("no rows", source=table)
    classes = tuple(sorted({name for row in rows for name in _label_names(row)}))
    class_indices = {name: index for index, name in enumerate(classes)}
    files = FileList(table.parent)
    for number, row in enumerate(rows, start=1):
        if not row.get("file_name"):
            raise DataError(f"row {number} names no file", source=table, hint="it needs a column file_name")
        files.add(str(row["file_name"]), [class_indices[name] for name in _label_names(row)])
    is_multi_label = any("labels" in row for row in rows)
    return FileListDataset(name=table.parent.name, classes=classes, files=files, is_multi_label=is_multi_label)


def _read(table: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            yield from csv.DictReader(stream) if table.suffix == ".csv" else _json_rows(stream)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"cannot be read ({first_line(error)})", source=table) from error


def _json_rows(lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"not an object of names and values: {line.strip()[:40]}")
            yield row


def _label_names(row: Mapping[str, Any]) -> list[str]:
    labels = row.get("labels")
    if labels:
        names = labels if isinstance(labels, list) else str(labels).split("|")
        return [str(name).strip() for name in names]
    return [str(row["label"])] if row.get("label") not in (None, "") else []
