"""Malicious and malformed checkpoints and artifacts, one case of each kind of the files beside this one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import levit
from fault_injection.checkpoint_files import KINDS, MARKER
from fault_injection.library_files import LIBRARY_KINDS

ALL_KINDS = KINDS | LIBRARY_KINDS


class CheckpointKinds:
    """Cases of one checkpoint each."""

    seconds = 300.0  # it includes the deflation of 1 GB
    num_bytes = 2**30

    def name_case(self, number: int) -> str:
        """Kind of file."""
        return list(ALL_KINDS)[number % len(ALL_KINDS)]

    def write_case(self, number: int, folder: Path) -> Path:
        """Write the checkpoint."""
        return ALL_KINDS[self.name_case(number)](folder)

    def open_case(self, file: Path) -> None:
        """Open the file for prediction and predict; the code in it must not be run."""
        markers = (file / MARKER, file.with_name(MARKER))
        try:
            prediction = levit.Classifier(file)("examples/espresso.jpg")
            if not np.isfinite([label.score for label in prediction.top(5)]).all():
                raise AssertionError("scores are not finite")
        finally:
            if any(marker.exists() for marker in markers):
                raise AssertionError("the code in the file was run")


def create(seed: int) -> CheckpointKinds:
    """Create the subject; its cases use no random numbers."""
    return CheckpointKinds()
