"""Content of responses in JSON."""

from __future__ import annotations

import json

_encode = json.JSONEncoder(ensure_ascii=False).encode  # once, because `json.dumps` makes an encoder for each call


def encode_json(value: object) -> bytes:
    r"""Encode a value as JSON in UTF-8; surrogates, which names of files may contain, are escaped.

    Examples:
        >>> encode_json({"file": "é" + chr(0xDC80)}).decode()
        '{"file": "é\\udc80"}'
    """
    return _encode(value).encode("utf-8", "backslashreplace")
