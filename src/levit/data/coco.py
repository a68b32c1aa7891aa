"""Annotations in COCO format, in which iNaturalist 2018 and 2019 are distributed: `val2018.json` next to the images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from levit.data.file_list import FileList, FileListDataset, check_labels_agree
from levit.data.record_values import class_name, describe, file_name, in_record, parse_json, read_text, whole_number
from levit.errors import DataError, LevitWarning

_T = TypeVar("_T")

_REQUIRED_KEYS = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id",)}


def open_coco(file: Path, *, allow_outside: bool = False) -> FileListDataset:
    """Open `images` with `file_name`, `annotations` of images with categories, and `categories` with `name`.

    File names are relative to the folder of the file. Classes are ordered by category id. Their names are those of the
    categories, or the ids if names are missing (iNaturalist 2019 hides them) or not unique. Annotations of images that
    are not listed are left out with a warning.

    Args:
        file: JSON file.
        allow_outside: whether file names may lead out of the folder of the file.

    Raises:
        DataError: the file is of another format, an annotation refers to a category that is not listed, or a file is
            listed under two ids with different categories: one image would have contradicting labels.
    """
    content = _read(file)
    names = dict(_each(file, content, "categories", _category))
    has_unique_names = len({*names.values()}) == len(names)
    class_indices = {category: index for index, category in enumerate(sorted(names))}
    labels = _read_labels(file, content, class_indices)
    files, listed, unlisted = FileList(file.parent), dict[str, tuple[int, ...]](), dict.fromkeys(labels)

    def read_image(entry: Mapping[str, Any]) -> tuple[str, list[int]]:
        name, image = file_name(entry["file_name"], file.parent, allow_outside=allow_outside), _identifier(entry["id"])
        image_labels = labels.get(image, [])
        check_labels_agree(name, tuple(sorted(image_labels)), listed)
        unlisted.pop(image, None)
        return name, image_labels

    for name, image_labels in _each(file, content, "images", read_image):
        files.add(name, image_labels)
    _warn_of_unlisted(file, unlisted)
    return FileListDataset(
        name=file.name,
        classes=tuple(names[category] if has_unique_names else str(category) for category in class_indices),
        files=files,
        is_multi_label=any(len(image_labels) > 1 for image_labels in listed.values()),
    )


def _read_labels(
    file: Path, content: Mapping[str, Any], class_indices: Mapping[int, int]
) -> dict[int | str, list[int]]:
    """Class indices of each image, by its id, in the order of the annotations."""
    labels: dict[int | str, list[int]] = {}
    for image, category in _each(file, content, "annotations", _annotation):
        if category not in class_indices:
            raise DataError(f"an annotation is of category {category}, which is not listed", source=file)
        image_labels = labels.setdefault(image, [])
        if class_indices[category] not in image_labels:
            image_labels.append(class_indices[category])
    return labels


def _warn_of_unlisted(file: Path, images: Collection[int | str]) -> None:
    if images:
        count = "1 image that is" if len(images) == 1 else f"{len(images):,} images that are"
        text = f"{file}: annotations of {count} not listed, and not read ({describe(next(iter(images)))})"
        warnings.warn(text, LevitWarning, stacklevel=3)


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content = parse_json(read_text(file))
    except DataError as error:
        reason = f"not a list of images, annotations and categories ({error.reason})"
        raise DataError(reason, source=file) from None
    for section, keys in _REQUIRED_KEYS.items():
        entries = content.get(section) if isinstance(content, dict) else None
        is_complete = isinstance(entries, list) and all(
            isinstance(entry, dict) and all(key in entry for key in keys) for entry in entries
        )
        if not is_complete:
            reason = f"not a list of images, annotations and categories ({section!r} is missing or incomplete)"
            raise DataError(reason, source=file)
    return cast(Mapping[str, Any], content)


def _each(
    file: Path, content: Mapping[str, Any], section: str, read: Callable[[Mapping[str, Any]], _T]
) -> Iterator[_T]:
    """Read the entries of a section."""
    for number, entry in enumerate(content[section]):
        try:
            yield read(entry)
        except DataError as error:
            raise in_record(error, file, f"{section}[{number}]") from None


def _category(entry: Mapping[str, Any]) -> tuple[int, str]:
    identifier = whole_number(entry["id"])
    return identifier, class_name(entry.get("name")) or describe(identifier)


def _annotation(entry: Mapping[str, Any]) -> tuple[int | str, int]:
    return _identifier(entry["image_id"]), whole_number(entry["category_id"])


def _identifier(value: Any) -> int | str:
    return value if isinstance(value, str) else whole_number(value)
