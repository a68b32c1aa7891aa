"""Columns and class names in the features that `datasets` writes into the metadata of a parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levit.data.record_values import class_names, describe, parse_json
from levit.errors import DataError


def read_class_names(metadata: Mapping[bytes, bytes], column: str) -> tuple[str, ...]:
    """Class names of a column of labels, in order; empty if the metadata contain none.

    Features are an object (`{"label": {"_type": "ClassLabel", "names": […]}}`), or a list as in the card of a data set
    (`[{"name": "label", "dtype": {"class_label": {"names": {"0": …}}}}]`).

    Args:
        metadata: metadata of the schema.
        column: name of the column.

    Raises:
        DataError: there are names, but not a list of strings.

    Examples:
        >>> read_class_names({b"huggingface": b'{"info": {"features": {"label": {"names": ["cat"]}}}}'}, "label")
        ('cat',)
    """
    try:
        names = _find_names(_features(metadata).get(column))
        return () if names is None else class_names(names)
    except DataError as error:
        raise DataError(f"features of {describe(column)}: {error.reason}") from None


def find_columns(metadata: Mapping[bytes, bytes]) -> tuple[list[str], list[str]]:
    """Columns of images, and columns of labels whose classes have names; none where the metadata cannot be read.

    Args:
        metadata: metadata of the schema.

    Examples:
        >>> find_columns({b"huggingface": b'{"info": {"features": {"img": {"_type": "Image"}}}}'})
        (['img'], [])
    """
    try:
        features = _features(metadata)
    except DataError:  # `read_class_names` raises it where there are labels
        return [], []
    return (
        [name for name, feature in features.items() if _is_image(feature)],
        [name for name, feature in features.items() if _find_names(feature) is not None],
    )


def _features(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """Descriptions of the columns by name."""
    content = parse_json(metadata.get(b"huggingface", b"null"))
    info = content.get("info") if isinstance(content, dict) else None
    features = info.get("features") if isinstance(info, dict) else None
    if isinstance(features, list):
        return {str(entry.get("name")): entry for entry in features if isinstance(entry, dict)}
    return features if isinstance(features, dict) else {}


def _is_image(feature: Any) -> bool:
    return isinstance(feature, dict) and (feature.get("_type") == "Image" or feature.get("dtype") == "image")


def _find_names(feature: Any) -> Any:
    """The names in a ClassLabel, which may be the element of a list; None if there are none."""
    while True:
        if isinstance(feature, list) and feature:
            feature = feature[0]
        elif not isinstance(feature, dict):
            return None
        elif feature.get("names") is not None:
            names = feature["names"]
            return _in_order(names) if isinstance(names, dict) else names
        else:
            keys = ("feature", "dtype", "class_label", "list", "sequence")
            feature = next((feature[key] for key in keys if isinstance(feature.get(key), dict | list)), None)


def _in_order(names: Mapping[str, Any]) -> Any:
    """Names under their numbers, `{"0": "cat", "1": "dog"}`, as a list."""
    in_order = [names.get(str(number)) for number in range(len(names))]
    return names if None in in_order else in_order
