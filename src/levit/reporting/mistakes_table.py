"""Table of all images with a wrong prediction as a CSV file, written image by image."""

from __future__ import annotations

import csv
from pathlib import Path
from types import TracebackType

from levit.data.labeled_images import LabeledImage
from levit.evaluation.shown_names import shown_names
from levit.runtime.prediction import Prediction

MISTAKES_FILE = "mistakes.csv"


class MistakesTable:
    """Writer of a CSV file with a row for each wrong prediction, in the order of the data.

    Columns: `image` (its name in the data), `label`, `prediction`, `score` of the prediction and `label_score`, both in
    [0, 1].

    Args:
        file: the file to write; it is complete when the context ends.
    """

    def __init__(self, file: Path) -> None:
        self._stream = file.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        self._writer = csv.writer(self._stream, lineterminator="\n")
        self._writer.writerow(["image", "label", "prediction", "score", "label_score"])

    def add(self, item: LabeledImage, prediction: Prediction, target: int) -> None:
        """Add the row of an image, unless its prediction is right: an `on_prediction` callback of `evaluate`."""
        (best,) = prediction.top(1)
        if best.index != target:
            scores = (f"{best.score:.6f}", f"{float(prediction.scores[target]):.6f}")
            names = shown_names(prediction.labels)
            self._writer.writerow([item.name, names[target], names[best.index], *scores])

    def __enter__(self) -> MistakesTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
