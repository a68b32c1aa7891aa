"""Labels in the style of COCO, as iNaturalist 2018 and 2019 are distributed: `val2018.json` beside the images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from levit.data.file_list import FileList
from levit.data.folder import hash_files
from levit.data.labelled import LabelledImage
from levit.errors import DataError


class CocoLabels:
    """`images` with `file_name`, `annotations` from images to categories, `categories` with `name`.

    Files are named relative to the folder of the list. A class is called by its name; where several categories have
    the same, or none has one (iNaturalist 2019 hides them), by its id.

    Raises:
        DataError: the file is of another kind, or an annotation points nowhere.
    """

    any_is_right = is_grouped = False

    def __init__(self, file: Path) -> None:
        self.name = file.name
        values = _read(file)
        categories = {int(one["id"]): str(one.get("name", one["id"])) for one in values["categories"]}
        unique = len({*categories.values()}) == len(categories)
        order = sorted(categories)
        self.classes = tuple(categories[one] if unique else str(one) for one in order)
        places = {category: index for index, category in enumerate(order)}
        labels: dict[int, list[int]] = {}
        for one in values["annotations"]:
            if one["category_id"] not in places:
                raise DataError(f"{file}: an annotation is of category {one['category_id']}, which is not listed")
            label = places[one["category_id"]]
            if label not in labels.setdefault(one["image_id"], []):
                labels[one["image_id"]].append(label)
        self.is_multi_label = any(len(of_one) > 1 for of_one in labels.values())
        self._files = FileList(file.parent)
        for image in values["images"]:
            self._files.add(image["file_name"], labels.get(image["id"], []))

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[LabelledImage]:
        return iter(self._files)

    def sha256(self) -> str:
        """Of the files' names and contents, in order."""
        return hash_files(self._files)


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
