"""Table of all predictions as a parquet file, written in batches of rows."""

from __future__ import annotations

from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any

from levit.data.labeled_images import LabeledImage
from levit.evaluation.shown_names import shown_names
from levit.reporting.metrics_json import escape_surrogates
from levit.runtime.prediction import Prediction

_NUM_PREDICTIONS = 5
_BATCH_ROWS = 4096


class PredictionsTable:
    """Writer of a parquet file with a row per image: name, label, and the five most probable labels with scores.

    Columns: `image`, `label`, `prediction1` … `prediction5` (strings) and `score1` … `score5` (float32 in [0, 1]); null
    where the model chose among fewer classes.

    Args:
        file: the file to write; it is complete when the context ends.

    Raises:
        ImportError: pyarrow is not installed.
    """

    def __init__(self, file: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise ImportError('writing predictions needs pyarrow: pip install "levit[evaluation]"') from error
        columns = [("image", pyarrow.string()), ("label", pyarrow.string())]
        for rank in range(1, _NUM_PREDICTIONS + 1):
            columns += [(f"prediction{rank}", pyarrow.string()), (f"score{rank}", pyarrow.float32())]
        self._pyarrow, self._schema = pyarrow, pyarrow.schema(columns)
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)
        self._rows: list[dict[str, Any]] = []

    def add(self, item: LabeledImage, prediction: Prediction, target: int) -> None:
        """Add the row of an image: an `on_prediction` callback of `evaluate`."""
        names = shown_names(prediction.labels)
        row: dict[str, Any] = {"image": escape_surrogates(item.name), "label": escape_surrogates(names[target])}
        for rank, label in enumerate(prediction.top(_NUM_PREDICTIONS), start=1):
            if prediction.logits[label.index] > -inf:  # of the labels among which the model chose
                row |= {f"prediction{rank}": escape_surrogates(names[label.index]), f"score{rank}": label.score}
        self._rows.append(row)
        if len(self._rows) == _BATCH_ROWS:
            self._flush()

    def __enter__(self) -> PredictionsTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._pyarrow.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []
