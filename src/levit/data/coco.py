"""Annotations in COCO format, in which iNaturalist 2018 and 2019 are distributed: `val2018.json` next to the images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList, FileListDataset
from levit.errors import DataError

_REQUIRED_KEYS = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id",)}


def open_coco(file: Path) -> FileListDataset:
    """Open `images` with `file_name`, `annotations` of images with categories, and `categories` with `name`.

    File names are relative to the folder of the file. Classes are ordered by category id. Their names are those of the
    categories, or the ids if names are missing (iNaturalist 2019 hides them) or not unique.

    Raises:
        DataError: the file is of another format, or an annotation refers to a category that is not listed.
    """
    content = _read(file)
    names = {int(category["id"]): str(category.get("name", category["id"])) for category in content["categories"]}
    has_unique_names = len({*names.values()}) == len(names)
    class_indices = {category: index for index, category in enumerate(sorted(names))}
    labels: dict[int, list[int]] = {}
    for annotation in content["annotations"]:
        category = annotation["category_id"]
        if category not in class_indices:
            raise DataError(f"an annotation is of category {category}, which is not listed", source=file)
        image_labels = labels.setdefault(annotation["image_id"], [])
        if class_indices[category] not in image_labels:
            image_labels.append(class_indices[category])
    files = FileList(file.parent)
    for image in content["images"]:
        files.add(image["file_name"], labels.get(image["id"], []))
    return FileListDataset(
        name=file.name,
        classes=tuple(names[category] if has_unique_names else str(category) for category in class_indices),
        files=files,
        is_multi_label=any(len(image_labels) > 1 for image_labels in labels.values()),
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        content: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        for section, keys in _REQUIRED_KEYS.items():
            if not all(key in entry for entry in content[section] for key in keys):
                raise KeyError(section)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"not a list of images, annotations and categories ({error!r})", source=file) from error
    return content
