"""The `.mat` files in which some authors keep labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levit.errors import DataError


def read_matlab(file: Path) -> Mapping[str, Any]:
    """The variables of a file, as arrays of numbers, or of records that are read by name.

    Raises:
        DataError: it is no such file.
        ImportError: scipy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError('reading .mat files needs scipy: pip install "levit[evaluation]"') from error
    try:
        values: Mapping[str, Any] = loadmat(file, squeeze_me=True)
    except Exception as error:  # scipy's errors are of many kinds
        raise DataError(f"{file}: not a .mat file ({' '.join(str(error).split())})") from error
    return values
