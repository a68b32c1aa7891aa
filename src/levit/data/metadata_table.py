"""Images with a table of labels: `metadata.csv` or `metadata.jsonl`, as in the `imagefolder` of `datasets`, or any."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList, FileListDataset, check_labels_agree
from levit.data.image_listing import list_images
from levit.data.record_values import class_name, describe, file_name, in_record, parse_json
from levit.errors import DataError, LevitWarning, first_line
from levit.files import check_regular_file

_FILE_NAMES = ("metadata.csv", "metadata.jsonl")


def find_table(folder: Path) -> Path | None:
    """Path of the table of a folder, or None."""
    return next((folder / name for name in _FILE_NAMES if (folder / name).is_file()), None)


def open_image_table(table: Path, *, below: str = "", allow_outside: bool = False) -> FileListDataset | None:
    """Open the images of column `file_name`, with labels from column `label` or `labels`.

    `label` is one class name; `labels` are several, as a list or separated by `|`. The classes are all class names that
    occur, in alphabetical order. Spaces around names and values are ignored. A warning counts the images in the folder
    that are not in its `metadata.csv` or `metadata.jsonl`.

    Args:
        table: the table.
        below: only the images in this folder, relative to that of the table; the classes are those of all rows.
        allow_outside: whether file names may lead out of the folder of the table.

    Returns:
        The images; None if no row is below the folder `below`.

    Raises:
        DataError: the table cannot be read, is empty, has a row without a file name or with an invalid label, or lists
            an image again with other labels.
    """
    rows = list(_read_rows(table, allow_outside=allow_outside))
    if not rows:
        raise DataError("no rows", source=table)
    classes = tuple(sorted({name for _, names, _ in rows for name in names}))
    class_indices = {name: index for index, name in enumerate(classes)}
    files = FileList(table.parent)
    for name, label_names, _ in rows:
        if not below or name.startswith(f"{below}/"):
            files.add(name, [class_indices[label] for label in label_names])
    if not len(files):
        return None
    name, is_multi_label = table.name, any(has_list for _, _, has_list in rows)
    if name in _FILE_NAMES:  # the table of the whole folder
        name = (table.parent / below).name or str(table.parent)
        _warn_of_unlisted(table, below, files)
    return FileListDataset(name=name, classes=classes, files=files, is_multi_label=is_multi_label)


def _warn_of_unlisted(table: Path, below: str, files: FileList) -> None:
    listed = {files.name(index) for index in range(len(files))}
    unlisted = [name for name in list_images(table.parent, below) if name not in listed]
    if unlisted:
        count = "1 image is" if len(unlisted) == 1 else f"{len(unlisted):,} images are"
        text = f"{table.parent / below}: {count} not in {table.name}, and not read ({unlisted[0]})"
        warnings.warn(text, LevitWarning, stacklevel=3)


def _read_rows(table: Path, *, allow_outside: bool) -> Iterator[tuple[str, list[str], bool]]:
    """File name and class names of each row, and whether it may have several."""
    listed: dict[str, frozenset[str]] = {}
    for number, row in enumerate(_read(table), start=1):
        if not row.get("file_name"):
            raise DataError(f"row {number} names no file", source=table, hint="it needs a column file_name")
        try:
            name = file_name(row["file_name"], table.parent, allow_outside=allow_outside)
            names = _label_names(row)
            check_labels_agree(name, frozenset(names), listed)
        except DataError as error:
            raise in_record(error, table, f"row {number}") from None
        yield name, names, "labels" in row or isinstance(row.get("label"), list)


def _read(table: Path) -> Iterator[Mapping[str, Any]]:
    check_regular_file(table, DataError)
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            yield from _csv_rows(stream) if table.suffix == ".csv" else _json_rows(stream)
    except DataError as error:
        raise DataError(f"cannot be read ({error.reason})", source=table) from None
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"cannot be read ({first_line(error)})", source=table) from error


def _csv_rows(lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    names = [name.strip().casefold() for name in next(reader, [])]
    for number, values in enumerate(filter(None, reader), start=1):
        if len(values) > len(names):
            raise DataError(f"row {number} has {len(values)} values for {len(names)} columns: {describe(values)}")
        yield dict(zip(names, map(str.strip, values), strict=False))


def _json_rows(lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        if line.strip():
            row = parse_json(line)
            if not isinstance(row, dict):
                raise DataError(f"not an object of names and values: {line.strip()[:40]}")
            yield row


def _label_names(row: Mapping[str, Any]) -> list[str]:
    field = "labels" if row.get("labels") not in (None, "", []) else "label"
    value = row.get(field)
    values = value.split("|") if field == "labels" and isinstance(value, str) else value
    names = map(class_name, values if isinstance(values, list) else [values])
    return list(dict.fromkeys(name for name in names if name is not None))
