"""Output folder of an evaluation: complete or absent, and never a folder with other contents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from levit.data.record_values import read_json
from levit.errors import DataError
from levit.files import updating_folder

METRICS_FILE = "metrics.json"
FILES = (
    METRICS_FILE, "report.html", "predictions.parquet", "mistakes.csv", "per_class.csv", "per_label.csv",
    "confusion.csv",
)  # fmt: skip
"""Every file that an evaluation may write."""

_METRICS = frozenset({"model", "engine", "precision", "data", "images", "images_per_second"})  # of every evaluation


@contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """Create the output folder of an evaluation, or replace that of an earlier one, at the end of the context.

    Args:
        folder: a new path, an empty folder, or the output folder of an earlier evaluation, whose files are replaced.

    Yields:
        A temporary folder to write the files to.

    Raises:
        DataError: the folder has other contents, or cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and _is_replaceable(folder)):
        raise DataError("has other contents", source=folder, hint="give a new folder, or that of an earlier evaluation")
    with ExitStack() as stack:
        try:
            temporary = stack.enter_context(updating_folder(folder, last=(METRICS_FILE,)))
        except OSError as error:
            raise DataError(f"cannot be written ({error.strerror})", source=folder) from error
        yield temporary
        written = {path.name for path in temporary.iterdir()}
    for name in {*FILES} - written:
        (folder / name).unlink(missing_ok=True)


def _is_replaceable(folder: Path) -> bool:
    """Return whether a folder has the metrics of an earlier evaluation, or only hidden files."""
    if not (folder / METRICS_FILE).exists():
        return all(path.name.startswith(".") for path in folder.iterdir())
    try:
        metrics = read_json(folder / METRICS_FILE)
    except DataError:
        return False
    return isinstance(metrics, dict) and metrics.keys() >= _METRICS
