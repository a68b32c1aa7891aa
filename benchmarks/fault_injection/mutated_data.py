"""Mutated data files of every layout that `levit.data` reads.

Half of the cases change bytes; the others change one value of a file and leave its format valid.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fault_injection.data_layouts import LAYOUTS
from fault_injection.malformed_values import change_value
from fault_injection.mutation import mutate
from levit.data.inspection import inspect_splits
from levit.data.open_data import open_data, open_splits
from levit.errors import LevitError

_SLOW_LAYOUTS = ("devkit", "Flowers-102", "Stanford Cars")  # each MATLAB file is read in a process of its own
_ROUNDS = 40
LAYOUTS_IN_TURN = [*LAYOUTS, *[name for name in LAYOUTS if name not in _SLOW_LAYOUTS] * (_ROUNDS - 1)]
"""Layouts of successive cases: each of them, and then 39 times all but the slow ones."""


class MutatedData:
    """Cases of one data set each, in which one file is changed."""

    seconds = 300.0  # MATLAB files have a limit of 120 s each
    num_bytes = 2**30

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def name_case(self, number: int) -> str:
        """Layout of the data set."""
        return LAYOUTS_IN_TURN[number % len(LAYOUTS_IN_TURN)]

    def write_case(self, number: int, folder: Path) -> Path:
        """Write the data set, and change a file."""
        generator = np.random.default_rng([self._seed, number])
        layout = LAYOUTS[self.name_case(number)]
        layout.write(folder)
        files = sorted(file for pattern in layout.changed for file in folder.glob(pattern))
        file = files[int(generator.integers(len(files)))]
        if generator.random() < 0.5:
            change_value(file, generator)
        else:
            file.write_bytes(mutate(file.read_bytes(), generator))
        return folder / layout.opened if layout.opened else folder

    def open_case(self, file: Path) -> None:
        """Open, read and inspect all splits, as `levit data` does."""
        data = open_data(file)
        items = list(data)
        if len(items) != len(data):
            raise AssertionError(f"{len(data)} images are announced and {len(items)} are read")
        for item in items:
            if not all(isinstance(label, int) for label in item.labels):
                raise AssertionError(f"labels are {item.labels!r}")
        if not all(isinstance(name, str) for name in data.classes):
            raise AssertionError(f"classes are {data.classes!r}")
        data.sha256()
        try:
            splits = open_splits(file)
        except LevitError:  # another split is damaged
            splits = {"all": data}
        inspect_splits(splits)


def create(seed: int) -> MutatedData:
    """Create the subject."""
    return MutatedData(seed)
