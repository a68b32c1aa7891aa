"""Labels in the style of COCO, as iNaturalist 2018 and 2019 are distributed: `val2018.json` beside the images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList, FileListDataset
from levit.errors import DataError


def open_coco(file: Path) -> FileListDataset:
    """`images` with `file_name`, `annotations` from images to categories, `categories` with `name`.

    Files are named relative to the folder of the list. A class is called by its name; where several categories have
    the same, or none has one (iNaturalist 2019 hides them), by its id.

    Raises:
        DataError: the file is of another kind, or an annotation points nowhere.
    """
    values = _read(file)
    categories = {int(one["id"]): str(one.get("name", one["id"])) for one in values["categories"]}
    unique = len({*categories.values()}) == len(categories)
    places = {category: index for index, category in enumerate(sorted(categories))}
    labels: dict[int, list[int]] = {}
    for one in values["annotations"]:
        if one["category_id"] not in places:
            raise DataError(f"{file}: an annotation is of category {one['category_id']}, which is not listed")
        of_image, label = labels.setdefault(one["image_id"], []), places[one["category_id"]]
        if label not in of_image:
            of_image.append(label)
    files = FileList(file.parent)
    for image in values["images"]:
        files.add(image["file_name"], labels.get(image["id"], []))
    return FileListDataset(
        name=file.name,
        classes=tuple(categories[one] if unique else str(one) for one in places),
        files=files,
        is_multi_label=any(len(of_image) > 1 for of_image in labels.values()),
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        for part, keys in (("images", ("id", "file_name")), ("annotations", ("image_id", "category_id")),
                           ("categories", ("id",))):  # fmt: skip
            if not all(key in one for one in values[part] for key in keys):
                raise KeyError(part)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: not a list of images, annotations and categories ({error!r})") from error
    result: Mapping[str, Any] = values
    return result
