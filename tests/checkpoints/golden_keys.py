"""Keys and shapes of the state dicts of each library."""

from __future__ import annotations

import json
import re

from levit.checkpoints.dialects import DIALECTS
from tests.conftest import GOLDEN

DIALECTS_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


def golden_shapes(dialect: str, variant: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of a network of a library, in the order of its state dict."""
    if dialect.startswith("mindspore"):
        return _mindspore_shapes(dialect, variant)
    name = variant.removeprefix("levit-").replace("-", "_")
    entries = json.loads((GOLDEN / "keys" / f"{dialect}-{name}.json").read_text())
    return {key: tuple(shape) for key, (shape, _) in entries.items()}


def _mindspore_shapes(dialect: str, variant: str) -> dict[str, tuple[int, ...]]:
    """Those of facebook under the names of MindSpore, which stores no number of batches."""
    names = [
        (r"^(patch_embed\.\d\.)c\.", r"\1conv."),
        (r"^(blocks.*\.)c\.", r"\1linear."),
        (r"^(head.*\.)l\.", r"\1linear."),
        (r"^((?:blocks|head).*\.)bn\.", r"\1bn1d."),
        (r"(\.bn(?:1d)?)\.weight$", r"\1.gamma"),
        (r"(\.bn(?:1d)?)\.bias$", r"\1.beta"),
        (r"\.running_mean$", ".moving_mean"),
        (r"\.running_var$", ".moving_variance"),
    ]
    shapes = {}
    for key, shape in golden_shapes("facebook", variant).items():
        for pattern, replacement in names:
            key = re.sub(pattern, replacement, key)
        if dialect == "mindspore":
            key = re.sub(r"^patch_embed\.(\d)", lambda match: f"patch_embed.cb{int(match[1]) // 2 + 1}", key)
        if not key.endswith("num_batches_tracked"):
            shapes[key] = shape
    return shapes
