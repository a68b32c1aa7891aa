"""Choice of the columns of images and of labels in a table, by their types and by the names in use for them."""

from __future__ import annotations

from collections.abc import Sequence

from levit.errors import DataError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("labels", "label", "fine_label")
"""Names of a column, the preferred one first; `fine_label` is that of CIFAR-100, beside its coarse classes."""


def choose_column(candidates: Sequence[str], names: Sequence[str], kind: str, source: object) -> str | None:
    """Choose one of the columns of a kind: the first of some names, or else the only one; None where there is none.

    Args:
        candidates: names of all columns of the kind.
        names: preferred names.
        kind: the kind in words, for errors.
        source: source of errors.

    Raises:
        DataError: there are several, and none has one of the names.

    Examples:
        >>> choose_column(["coarse_label", "fine_label"], LABEL_COLUMNS, "labels", "cifar100")
        'fine_label'
        >>> choose_column(["photo"], IMAGE_COLUMNS, "images", "pets")
        'photo'
    """
    chosen = next((name for name in names if name in candidates), None)
    if chosen is None and len(candidates) > 1:
        reason = f"several columns of {kind} ({', '.join(candidates)}), and none is called {names[0]} or {names[1]}"
        raise DataError(reason, source=source, hint="rename the one that is to be read")
    return chosen or next(iter(candidates), None)
