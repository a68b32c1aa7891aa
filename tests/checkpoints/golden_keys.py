"""Keys and shapes of the state dicts of each library."""

from __future__ import annotations

import json

from levit.checkpoints.dialects import DIALECTS
from tests.conftest import GOLDEN

DIALECTS_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


def golden_shapes(dialect: str, variant: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of a network of a library, in the order of its state dict."""
    name = variant.removeprefix("levit-").replace("-", "_")
    entries = json.loads((GOLDEN / "keys" / f"{dialect}-{name}.json").read_text())
    return {key: tuple(shape) for key, (shape, _) in entries.items()}
