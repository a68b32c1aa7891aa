"""Subject of `fault_injection.case_pool` whose cases have every outcome."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from levit.errors import DataError

OUTCOMES = ("success", "refusal", "exception", "crash", "hang", "memory")


class FaultyCases:
    """Cases that end as their name says."""

    seconds = 4.0
    num_bytes = 100_000_000

    def name_case(self, number: int) -> str:
        return OUTCOMES[number]

    def write_case(self, number: int, folder: Path) -> Path:
        file = folder / "case"
        file.write_text(OUTCOMES[number])
        return file

    def open_case(self, file: Path) -> None:
        outcome = file.read_text()
        if outcome == "refusal":
            raise DataError("no rows", source="table.csv")
        if outcome == "exception":
            raise ValueError("no rows")
        if outcome == "crash":
            os._exit(3)
        if outcome == "hang":
            threading.Event().wait()
        if outcome == "memory":
            bytearray(b"x" * 150_000_000)


def create(seed: int) -> FaultyCases:
    return FaultyCases()
