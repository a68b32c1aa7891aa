"""Output of several commands as lines of JSON, without the libraries of tables."""

from __future__ import annotations

import json
import sys
from typing import Any

from levit.errors import printable


def print_json(values: Any) -> None:
    """Print one line of JSON; characters that could control a terminal are escaped, others only if not UTF-8."""
    print(_escape_in_json(json.dumps(values, ensure_ascii=not _is_utf8())), flush=True)


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _escape_in_json(text: str) -> str:
    """Escape a character that is not printable as JSON does; outside of strings there is none."""
    if printable(text) == text:
        return text
    characters = (character if printable(character) == character else json.dumps(character)[1:-1] for character in text)
    return "".join(characters)
