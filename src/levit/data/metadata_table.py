"""Images beside a table of their labels: `metadata.csv` or `metadata.jsonl`, as `datasets` reads an imagefolder."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList, FileListDataset
from levit.errors import DataError

_NAMES = ("metadata.csv", "metadata.jsonl")


def find_table(folder: Path) -> Path | None:
    """The table of a folder, where it has one."""
    return next((folder / name for name in _NAMES if (folder / name).is_file()), None)


def open_image_table(table: Path) -> FileListDataset:
    """The images that a table names in `file_name`, with what it says in `label` or `labels`.

    `label` is one name; `labels` are several, as a list, or with `|` between them. The classes are the names that
    occur, in alphabetical order.

    Raises:
        DataError: a row names no file, or the table cannot be read.
    """
    rows = list(_read(table))
    if not rows:
        raise DataError(f"{table}: no rows")
    classes = tuple(sorted({name for row in rows for name in _labels(row)}))
    places = {name: index for index, name in enumerate(classes)}
    files = FileList(table.parent)
    for number, row in enumerate(rows, start=1):
        if not row.get("file_name"):
            raise DataError(f"{table}: row {number} names no file: it needs a column file_name")
        files.add(str(row["file_name"]), [places[name] for name in _labels(row)])
    is_multi_label = any("labels" in row for row in rows)
    return FileListDataset(name=table.parent.name, classes=classes, files=files, is_multi_label=is_multi_label)


def _read(table: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            if table.suffix == ".csv":
                yield from csv.DictReader(stream)
            else:
                for line in stream:
                    if line.strip():
                        row = json.loads(line)
                        if not isinstance(row, dict):
                            raise ValueError(f"no object of names and values: {line.strip()[:40]}")
                        yield row
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read ({error})") from error


def _labels(row: Mapping[str, Any]) -> list[str]:
    several = row.get("labels")
    if several:
        names = several if isinstance(several, list) else str(several).split("|")
        return [str(name).strip() for name in names]
    return [str(row["label"])] if row.get("label") not in (None, "") else []
