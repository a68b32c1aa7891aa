"""Metrics of an evaluation as JSON values, the contents of metrics.json: fractions in [0, 1], null if undefined."""

from __future__ import annotations

import json
from typing import Any


def format_json(values: dict[str, Any]) -> str:
    """Text of a metrics file, encodable in UTF-8."""
    return escape_surrogates(json.dumps(values, indent=1, ensure_ascii=False)) + "\n"


def escape_surrogates(text: str) -> str:
    """Escape the surrogates that Python has for bytes of file names that are not UTF-8."""
    return text.encode(errors="backslashreplace").decode()
