"""Parquet files in the Hugging Face image layout: a column of images, `image`, and one of labels, `label`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from levit.data import class_names
from levit.data.file_content import hash_files
from levit.data.image_columns import IMAGE_COLUMNS, LABEL_COLUMNS, choose_column
from levit.data.labeled_images import LabeledImage
from levit.data.parquet_features import find_columns, read_class_names
from levit.data.record_values import describe, file_name, in_record, label_indices, label_names
from levit.errors import DataError, first_line
from levit.files import check_regular_file

_BATCH_SIZE = 256
_TEXT = ("string", "large_string", "string_view")  # types of Arrow


class _Shard(NamedTuple):
    """One file.

    Attributes:
        path: the file, which is open only while it is read.
        num_rows: number of rows.
        class_indices: for each class of the file, its index in the data set; None where it is the same.
    """

    path: Path
    num_rows: int
    class_indices: tuple[int, ...] | None


class ParquetDataset:
    """Rows of one parquet file or several, read lazily; see `levit.data.labeled_images.LabeledDataset`.

    The columns are those of the types Image and ClassLabel of `datasets`, or those with the names in use for them; see
    `levit.data.image_columns`. The classes are those in the features of the first file; the files may number them
    differently. Without features, they are the class names that occur in the column, in alphabetical order; for numbers
    see `levit.data.class_names.read_class_names`.

    Args:
        files: files with the same columns and classes, at least one.
        name: name of the data set; None for the name of the first file.
        allow_outside: whether a row with the path of an image instead of its content may lead out of the folder.

    Raises:
        DataError: a file is not a parquet file, has no column of images, does not show by name which of several columns
            to read, or its classes have no names, or are other classes than those of the first file.
        ImportError: pyarrow is not installed.
    """

    is_any_label_correct = False

    def __init__(self, files: Sequence[Path], *, name: str | None = None, allow_outside: bool = False) -> None:
        self.name = name or files[0].name
        self._allow_outside = allow_outside
        schema = _open(files[0]).schema_arrow
        self._image, self._label = _choose_columns(files[0], schema)
        # The type of the column decides, because in many data sets of the hub a column `labels` has one label per row.
        self.is_multi_label = self._label is not None and _is_list(schema.field(self._label).type)
        names, num_rows = list[tuple[str, ...]](), list[int]()
        for file in files:
            with _open(file) as opened:
                _check_columns(file, opened.schema_arrow, self._image, self._label)
                names.append(_names_in_features(file, opened.schema_arrow, self._label))
                num_rows.append(int(opened.metadata.num_rows))
        has_text = self._label is not None and not names[0] and _is_text(schema.field(self._label).type)
        self.classes = names[0] or self._read_classes(files, has_text=has_text)
        # Of labels that are class names; None for numbers.
        self._class_indices = {name: index for index, name in enumerate(self.classes)} if has_text else None
        indices = [self._match_classes(file, other, names[0]) for file, other in zip(files, names, strict=True)]
        self._shards = list(map(_Shard, files, num_rows, indices))

    def __len__(self) -> int:
        return sum(shard.num_rows for shard in self._shards)

    def __iter__(self) -> Iterator[LabeledImage]:
        columns = [self._image] if self._label is None else [self._image, self._label]
        number = 0
        for shard in self._shards:
            for rows in _batches(shard.path, columns):
                images = rows[self._image]
                labels = rows[self._label] if self._label else [None] * len(images)
                for image, label in zip(images, labels, strict=True):
                    try:
                        yield self._labeled_image(shard, image, label, number)
                    except DataError as error:
                        raise in_record(error, shard.path, f"row {number}") from None
                    number += 1

    def sha256(self) -> str:
        """Hash of the file, or of the hashes of the files."""
        return hash_files([shard.path for shard in self._shards])

    def _labeled_image(self, shard: _Shard, image: Any, label: Any, number: int) -> LabeledImage:
        content, path = (image.get("bytes"), image.get("path")) if isinstance(image, dict) else (image, None)
        if isinstance(content, str):  # a column of paths
            content, path = None, content
        name = path if isinstance(path, str) and path else f"row {number}"
        source: Any = content if isinstance(content, bytes) else b""  # b"": decoding it raises the error
        if content is None and path:
            source = str(shard.path.parent / file_name(path, shard.path.parent, allow_outside=self._allow_outside))
        if self._class_indices is None:
            indices = label_indices(label)
        else:
            indices = tuple(map(self._class_indices.__getitem__, label_names(label)))
        if shard.class_indices is not None:
            count = len(shard.class_indices)
            indices = tuple(shard.class_indices[index] if index < count else index for index in indices)
        return LabeledImage(source, indices, name)

    def _read_classes(self, files: Sequence[Path], *, has_text: bool) -> tuple[str, ...]:
        """Classes of files without features: the labels, if they are names, or those of a list for numbered ones."""
        if self._label is None:
            return ()
        if has_text:
            return tuple(sorted(_distinct_labels(files, self._label, label_names)))
        numbers = _distinct_labels(files, self._label, label_indices)
        return class_names.read_class_names(files[0], 1 + max(numbers)) if numbers else ()

    def _match_classes(self, file: Path, classes: tuple[str, ...], first: tuple[str, ...]) -> tuple[int, ...] | None:
        """Index in the data set of each class of a file, which has these names in its features."""
        if first and not classes:
            raise DataError("its labels have no names, as they have in the first file", source=file)
        if not classes or classes == self.classes:
            return None
        is_permutation = sorted(classes) == sorted(self.classes) and len({*classes}) == len(classes)
        if not is_permutation:
            other = next((name for name in classes if name not in self.classes), f"{len(classes)} classes")
            raise DataError(f"other classes than in the first file ({describe(other)})", source=file)
        return tuple(map(self.classes.index, classes))


def has_images(file: Path) -> bool:
    """Return whether a parquet file has a column of images.

    Raises:
        DataError: it is not a parquet file.
        ImportError: pyarrow is not installed.
    """
    with _open(file) as opened:
        return bool(_image_columns(opened.schema_arrow))


def _open(file: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError('reading parquet needs pyarrow: pip install "levit[evaluation]"') from error
    check_regular_file(file, DataError)
    try:
        return parquet.ParquetFile(file)
    except Exception as error:  # pyarrow and the operating system raise errors of many types
        raise DataError(f"not a parquet file ({first_line(error)})", source=file) from error


def _choose_columns(file: Path, schema: Any) -> tuple[str, str | None]:
    """Columns of images and of labels; None without labels."""
    names, (_, labels) = schema.names, find_columns(schema.metadata or {})
    labels = [name for name in names if name in labels] or [name for name in names if name in LABEL_COLUMNS]
    image = choose_column(_image_columns(schema), IMAGE_COLUMNS, "images", file)
    if image is None:
        raise DataError(f"no column of images (it has {', '.join(names)})", source=file)
    return image, choose_column(labels, LABEL_COLUMNS, "labels", file)


def _names_in_features(file: Path, schema: Any, label: str | None) -> tuple[str, ...]:
    """Class names in the features of a file; empty if it has none."""
    try:
        return () if label is None else read_class_names(schema.metadata or {}, label)
    except DataError as error:
        raise DataError(error.reason, source=file) from None


def _distinct_labels(files: Sequence[Path], column: str, read: Callable[[Any], tuple[Any, ...]]) -> set[Any]:
    distinct, number = set[Any](), 0
    for file in files:
        for rows in _batches(file, [column]):
            for label in rows[column]:
                try:
                    distinct.update(read(label))
                except DataError as error:
                    raise in_record(error, file, f"row {number}") from None
                number += 1
    return distinct


def _image_columns(schema: Any) -> list[str]:
    images, _ = find_columns(schema.metadata or {})
    return [name for name in schema.names if name in images or name in IMAGE_COLUMNS]


def _check_columns(file: Path, schema: Any, image: str, label: str | None) -> None:
    from pyarrow import types

    for column in (image, label):
        if column is not None and column not in schema.names:
            raise DataError(f"no column {column!r}, which the first file has", source=file)
    kind = schema.field(image).type
    is_struct = types.is_struct(kind) and bool({"bytes", "path"} & {field.name for field in kind})
    if not (is_struct or types.is_binary(kind) or types.is_large_binary(kind) or str(kind) in _TEXT):
        raise DataError(f"column {image!r} is {kind}, not the content of images", source=file)


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_text(kind: Any) -> bool:
    while hasattr(kind, "value_type"):  # of a list, or of the categories of pandas
        kind = kind.value_type
    return str(kind) in _TEXT


def _batches(file: Path, columns: list[str]) -> Iterator[dict[str, list[Any]]]:
    with _open(file) as opened:
        try:
            for batch in opened.iter_batches(batch_size=_BATCH_SIZE, columns=columns):
                yield batch.to_pydict()
        except Exception as error:  # pyarrow and the operating system raise errors of many types
            raise DataError(f"damaged ({first_line(error)})", source=file) from error
