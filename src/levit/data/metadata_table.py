"""Images with a table of labels: `metadata.csv` or `metadata.jsonl`, as in the `imagefolder` of `datasets`, or any."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from levit.data.file_list import FileList, FileListDataset, check_labels_agree
from levit.data.image_listing import list_images
from levit.data.labeled_images import NoSplitError
from levit.data.record_values import describe, file_name, in_record, label_names, parse_json
from levit.data.split_names import canonical_split, choose_split, find_split_name
from levit.errors import DataError, LevitWarning, first_line
from levit.files import check_regular_file

_FILE_NAMES = ("metadata.csv", "metadata.jsonl")
_DELIMITERS = ",;\t"  # semicolons are those of Excel in most of Europe


class _Row(NamedTuple):
    """Row of a table.

    Attributes:
        name: file name relative to the folder of the table.
        labels: class names.
        has_list: whether it may have several labels.
        split: validation, test, train, or another text in column `split`; empty without one.
    """

    name: str
    labels: tuple[str, ...]
    has_list: bool
    split: str


def find_table(folder: Path) -> Path | None:
    """Path of the table of a folder, or None."""
    return next((folder / name for name in _FILE_NAMES if (folder / name).is_file()), None)


def has_splits(table: Path) -> bool:
    """Return whether a table has a column `split`, by its first row.

    Raises:
        DataError: the table cannot be read.
    """
    return "split" in next(_read(table), {})


def open_image_table(
    table: Path, *, split: str | None = None, below: str = "", allow_outside: bool = False
) -> FileListDataset | None:
    """Open the images of column `file_name`, with labels from column `label` or `labels`.

    `label` is one class name; `labels` are several, as a list or separated by `|`. The classes are all class names that
    occur, in alphabetical order. Values of a CSV table are separated by commas, semicolons or tabs. Spaces around names
    and values are ignored, and so is the case of columns. A warning counts the images in the folder that are not in its
    `metadata.csv` or `metadata.jsonl`; another one says that there is no column of labels, but others.

    Args:
        table: the table.
        split: only rows with this split in column `split`, as for `find_split_name`; None for the first of validation,
            test and train that occurs, or all rows if none does.
        below: only the images in this folder, relative to that of the table, of any split; the classes are those of
            all rows.
        allow_outside: whether file names may lead out of the folder of the table.

    Returns:
        The images; None if no row is below the folder `below`.

    Raises:
        DataError: the table cannot be read, is empty, has a row without a file name or with an invalid label, lists
            an image again with other labels, or has no such split (`NoSplitError`).
    """
    if split is not None and not has_splits(table):  # before all rows are read
        raise NoSplitError("it has no column split", source=table, hint=f"leave out split {split!r}")
    rows = list(_read_rows(table, allow_outside=allow_outside))
    if not rows:
        raise DataError("no rows", source=table)
    chosen = None if below else _choose_split(table, rows, split)
    classes = tuple(sorted({name for row in rows for name in row.labels}))
    class_indices = {name: index for index, name in enumerate(classes)}
    files = FileList(table.parent)
    for row in rows:
        if (not below or row.name.startswith(f"{below}/")) and chosen in (None, row.split):
            files.add(row.name, [class_indices[label] for label in row.labels])
    if not len(files):
        return None
    name, is_multi_label = table.name, any(row.has_list for row in rows)
    if name in _FILE_NAMES:  # the table of the whole folder
        name = (table.parent / below).name or str(table.parent)
        _warn_of_unlisted(table, below, {row.name for row in rows})
    name = f"{name} {chosen}" if chosen else name
    return FileListDataset(name=name, classes=classes, files=files, is_multi_label=is_multi_label)


def _choose_split(table: Path, rows: Sequence[_Row], split: str | None) -> str | None:
    """The split whose rows are read; None for all rows."""
    available = list(dict.fromkeys(row.split for row in rows if row.split))
    return find_split_name(available, None) if split is None else choose_split(table, available, split)


def _warn_of_unlisted(table: Path, below: str, listed: Collection[str]) -> None:
    unlisted = [name for name in list_images(table.parent, below) if name not in listed]
    if unlisted:
        count = "1 image is" if len(unlisted) == 1 else f"{len(unlisted):,} images are"
        text = f"{table.parent / below}: {count} not in {table.name}, and not read ({unlisted[0]})"
        warnings.warn(text, LevitWarning, stacklevel=3)


def _read_rows(table: Path, *, allow_outside: bool) -> Iterator[_Row]:
    listed: dict[str, frozenset[str]] = {}
    columns: dict[str, None] = {}
    for number, row in enumerate(_read(table), start=1):
        if not row.get("file_name"):
            raise DataError(f"row {number} names no file", source=table, hint="it needs a column file_name")
        try:
            name = file_name(row["file_name"], table.parent, allow_outside=allow_outside)
            names = _labels(row)
            check_labels_agree(name, frozenset(names), listed)
        except DataError as error:
            raise in_record(error, table, f"row {number}") from None
        columns.update(dict.fromkeys(row))
        yield _Row(name, names, "labels" in row or isinstance(row.get("label"), list), _split(row))
    if len(columns) > 1 and not {"label", "labels"} & {*columns}:
        text = f"{table}: no column label or labels, so that its images have none (it has {', '.join(columns)})"
        warnings.warn(text, LevitWarning, stacklevel=4)


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
    header = next(lines, "")
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(chain([header], lines), skipinitialspace=True, strict=True, delimiter=delimiter)
    names = [name.strip().casefold() for name in next(reader, [])]
    for number, values in enumerate(filter(None, reader), start=1):
        if len(values) > len(names):
            raise DataError(f"row {number} has {len(values)} values for {len(names)} columns: {describe(values)}")
        yield dict(zip_longest(names, map(str.strip, values), fillvalue=""))


def _json_rows(lines: Iterator[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        if line.strip():
            row = parse_json(line)
            if not isinstance(row, dict):
                raise DataError(f"not an object of names and values: {line.strip()[:40]}")
            yield {name.strip().casefold(): value for name, value in row.items()}


def _labels(row: Mapping[str, Any]) -> tuple[str, ...]:
    field = "labels" if row.get("labels") not in (None, "", []) else "label"
    value = row.get(field)
    return label_names(value.split("|") if field == "labels" and isinstance(value, str) else value)


def _split(row: Mapping[str, Any]) -> str:
    value = row.get("split")
    name = value.strip() if isinstance(value, str) else ""
    return canonical_split(name) or name
