"""Class names in the features that `datasets` writes into the metadata of a parquet file."""

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
        DataError: there are names, but not a list of texts.

    Examples:
        >>> read_class_names({b"huggingface": b'{"info": {"features": {"label": {"names": ["cat"]}}}}'}, "label")
        ('cat',)
    """
    if b"huggingface" not in metadata:
        return ()
    try:
        content = parse_json(metadata[b"huggingface"])
        names = _find_names(_feature(content, column))
        return () if names is None else class_names(names)
    except DataError as error:
        raise DataError(f"features of {describe(column)}: {error.reason}") from None


def _feature(content: Any, column: str) -> Any:
    """Description of a column, or None."""
    info = content.get("info") if isinstance(content, dict) else None
    features = info.get("features") if isinstance(info, dict) else None
    if isinstance(features, list):
        return next((entry for entry in features if isinstance(entry, dict) and entry.get("name") == column), None)
    return features.get(column) if isinstance(features, dict) else None


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
