"""The values that options may have are those of the tables of the library."""

from typing import get_args

import pytest

from levit.checkpoints.writing import _DIALECTS
from levit.explaining.methods import METHODS
from levit.exporting.export import SUFFIXES
from levit.exporting.model_repository import _WRITERS
from levit.runtime.engine import CHECKPOINT_ENGINES, ENGINES, EXPORT_ENGINES
from levit.spec import choices


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("EngineName", ["auto", *ENGINES, *EXPORT_ENGINES, *CHECKPOINT_ENGINES]),
        ("ExplanationMethod", METHODS),
        ("ExportFormat", SUFFIXES),
        ("ServerLayout", _WRITERS),
        ("WritableDialect", _DIALECTS),
    ],
)
def test_values_are_those_of_the_table(name, values):
    assert list(get_args(getattr(choices, name))) == list(values)
