"""MATLAB files (`.mat`), in which some data sets store their labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from levit.errors import DataError, first_line


def read_matlab(file: Path) -> Mapping[str, Any]:
    """Read the variables of a file: arrays of numbers, or of records with named fields.

    Raises:
        DataError: it is not a MATLAB file.
        ImportError: scipy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ImportError('reading .mat files needs scipy: pip install "levit[evaluation]"') from error
    try:
        values: Mapping[str, Any] = loadmat(file, squeeze_me=True)
    except Exception as error:  # scipy raises errors of many types
        raise DataError(f"not a .mat file ({first_line(error)})", source=file) from error
    return values
