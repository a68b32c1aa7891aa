"""Run directories without a name: `runs/train`, `runs/train2`, …, and the last one whose run is not complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from levit.errors import CheckpointError, ConfigError
from levit.training.options import TrainingOptions
from levit.training.output_directory import ARGUMENTS_FILE, LOCK_FILE
from levit.training.recipe import read_recipe
from levit.training.resuming import is_same_data
from levit.training.run_state import load_state

RUNS = Path("runs")
"""Folder of the run directories without a name, in the working directory."""

_NAME = "train"


@contextmanager
def new_run_folder(runs: Path = RUNS) -> Iterator[Path]:
    """Create the first of `train`, `train2`, … that does not exist, and delete it at the end if it is still empty.

    Two processes at once get two folders.

    Args:
        runs: the folder that contains them, which is created.

    Raises:
        ConfigError: the folder cannot be created.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, new_run_folder(Path(folder)) as first:
        ...     with new_run_folder(Path(folder)) as second:
        ...         first.name, second.name
        ('train', 'train2')
    """
    folder = _create(runs)
    try:
        yield folder
    finally:
        for path in (folder, runs):
            with suppress(OSError):  # it is not empty
                path.rmdir()


def find_incomplete_run(data: str = "", runs: Path = RUNS) -> Path | None:
    """Find the last run without a name that can be resumed: it is not complete, and no process is training in it.

    Args:
        data: path or name of its training set; empty for any.
        runs: the folder that contains the run directories.
    """
    names = (
        (re.fullmatch(rf"{_NAME}(\d*)", path.parent.name), path) for path in runs.glob(f"{_NAME}*/{ARGUMENTS_FILE}")
    )
    numbered = [(int(match[1] or 1), path.parent) for match, path in names if match is not None]
    for _, folder in sorted(numbered, reverse=True):
        if _is_incomplete(folder, data) and not _is_locked(folder):
            return folder
    return None


def _create(runs: Path) -> Path:
    try:
        runs.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            folder = runs / f"{_NAME}{number if number > 1 else ''}"
            with suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        reason = f"is {runs}, where no folder can be created ({error.strerror})"
        raise ConfigError(reason, source="out", hint="give a folder for the run") from error
    raise AssertionError


def _is_incomplete(folder: Path, data: str) -> bool:
    """Return whether a readable run is incomplete, as is one that was stopped before its first save."""
    try:
        options = TrainingOptions.from_flat(**read_recipe(folder / ARGUMENTS_FILE))
        state = load_state(folder)
    except (CheckpointError, ConfigError):
        return False
    if data and not is_same_data(data, options.data.data):
        return False
    return state is None or not state.progress.is_complete(options.schedule.total_epochs)


def _is_locked(folder: Path) -> bool:
    if not (folder / LOCK_FILE).exists():
        return False
    lock = FileLock(folder / LOCK_FILE, timeout=0, fallback_to_soft=False)
    try:
        with lock:
            return False
    except Timeout:
        return True
    except OSError:  # a file system without locks
        return False
