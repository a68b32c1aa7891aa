"""Writers of predictions to standard output: JSON lines and CSV; the table is in `prediction_table`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from levit.cli.json_output import print_json
from levit.errors import printable

if TYPE_CHECKING:
    from levit.runtime.prediction import Prediction


class PredictionWriter(Protocol):
    """Writer of predictions, one after the other."""

    def write(self, prediction: Prediction) -> None:
        """Write the top labels of an image, or its error."""
        ...

    def flush(self) -> None:
        """Print what is buffered, because the next prediction may come much later."""
        ...

    def close(self) -> None:
        """Print what is buffered at the end, also after an error."""
        ...


class JsonWriter:
    """One JSON object per line and image.

    Args:
        top_k: number of labels per image.
    """

    def __init__(self, top_k: int) -> None:
        self._top_k = top_k

    def write(self, prediction: Prediction) -> None:
        """Print the labels of an image, or its error."""
        print_json(prediction.to_dict(self._top_k))

    def flush(self) -> None:
        """Do nothing, since there is no buffer."""

    close = flush


class CsvWriter:
    """One CSV line per label, or per image without labels; scores have six decimals.

    On a terminal, characters that could control it are escaped; a file or another program gets names as they are.

    Args:
        top_k: number of labels per image.
    """

    def __init__(self, top_k: int) -> None:
        self._top_k = top_k
        self._text: Callable[[str], str] = printable if sys.stdout.isatty() else str
        import csv  # not needed for JSON

        self._csv = csv.writer(sys.stdout, lineterminator="\n")
        self._csv.writerow(["file", "rank", "name", "index", "score", "error"])

    def write(self, prediction: Prediction) -> None:
        """Print the labels of an image, or its error."""
        file = self._text(prediction.source)
        for rank, label in enumerate(prediction.top_or_unknown(self._top_k), start=1):
            self._csv.writerow([file, rank, self._text(label.name), label.index, f"{label.score:.6f}", ""])
        if prediction.error is not None:
            self._csv.writerow([file, "", "", "", "", str(prediction.error)])
        sys.stdout.flush()

    def flush(self) -> None:
        """Do nothing, since there is no buffer."""

    close = flush
