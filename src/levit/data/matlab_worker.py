"""Worker that reads MATLAB files with scipy, which can crash on a damaged one, and prints one line of JSON for each.

It is run as a script, by `levit.data.matlab_files`, and imports nothing of this package.
"""

from __future__ import annotations

import json
import sys
from typing import Any

MAX_MEMORY = 4 << 30
"""Limit on the memory of the process in bytes, where the system can limit it: headers may claim any size."""


def read_variables(file: str) -> dict[str, Any]:
    """Variables of a file: numbers, strings, lists and dictionaries; an "error" instead if it cannot be read."""
    from scipy.io import loadmat

    try:
        values = loadmat(file, simplify_cells=True)
        return {"variables": {name: value for name, value in values.items() if not name.startswith("__")}}
    except Exception as error:  # scipy raises errors of many types
        lines = str(error).strip().splitlines()
        return {"error": lines[0][:200] if lines else type(error).__name__}


def limit_memory() -> None:
    """Limit the memory of this process."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def to_json(value: Any) -> Any:
    """Convert arrays and scalars of numpy to lists and numbers."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


if __name__ == "__main__":
    limit_memory()
    for argument in sys.argv[1:]:
        print(json.dumps(read_variables(argument), default=to_json), flush=True)
