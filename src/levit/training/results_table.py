"""Results of a run: a table of all epochs, and their curves."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from levit.files import write_text
from levit.reporting.training_curves import draw_training_curves
from levit.training.callbacks import Callback
from levit.training.progress import EMA_PREFIX, Metrics, Progress
from levit.training.run_state import checkpoint_errors

RESULTS_FILE = "results.csv"
CURVES_FILE = "curves.png"


class ResultsTable(Callback):
    """Writes `results.csv` and `curves.png` into the run directory; for the first process.

    They are functions of the saved progress, so that a run which was killed before it wrote them does so when it is
    resumed.

    Args:
        run: the run directory.
        metric: name of the metric that the curves show.
    """

    def __init__(self, run: Path, metric: str) -> None:
        self._run, self._metric = run, metric
        self._num_written = 0

    def on_checkpoint(self, progress: Progress) -> None:
        """Write both files where an epoch was added.

        Raises:
            CheckpointError: they cannot be written.
        """
        if len(progress.history) != self._num_written:
            with checkpoint_errors(self._run):
                write_results(self._run / RESULTS_FILE, progress.history)
                draw_training_curves(self._run / CURVES_FILE, progress.history, self._metric, best=_best(progress))
            self._num_written = len(progress.history)


def _best(progress: Progress) -> tuple[int, str] | None:
    """The epoch whose weights are kept, and the prefix of their metrics; None before the first one."""
    if progress.best_weights is None:
        return None
    return progress.best_epoch, EMA_PREFIX if progress.best_weights == "average" else ""


def write_results(file: Path, rows: Sequence[Metrics]) -> None:
    """Write a CSV table with one row for each epoch."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(file, stream.getvalue())
