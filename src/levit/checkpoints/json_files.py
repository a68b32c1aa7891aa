"""Configuration files in JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from levit.errors import CheckpointError, first_line
from levit.files import check_regular_file


def read_json(file: Path) -> dict[str, Any]:
    """Read the object in a JSON file; an absent file gives an empty one.

    Raises:
        CheckpointError: the file is damaged, not a regular file, or does not contain an object.
    """
    if not file.exists():
        return {}
    check_regular_file(file, CheckpointError)
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot be read as JSON ({first_line(error)})", source=file) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"contains a {type(content).__name__}, not an object", source=file)
    return content
