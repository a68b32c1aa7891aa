"""What a library's files cannot say of the preprocessing, as a warning."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import LevitWarning
from levit.spec.preprocessing import Preprocessing


def warn_of_changes(checkpoint: Checkpoint, kept: Preprocessing, target: str) -> None:
    """Warn where those who read the files that were written will prepare images in another way.

    Args:
        checkpoint: what was written.
        kept: the preprocessing that the files say, or that their readers assume.
        target: what was written to, for the warning.
    """
    before, after = _effective(checkpoint.preprocessing), _effective(kept)
    changes = ", ".join(
        f"{field.name} {_text(getattr(before, field.name))} becomes {_text(getattr(after, field.name))}"
        for field in fields(Preprocessing)
        if getattr(before, field.name) != getattr(after, field.name)
    )
    if changes:
        warnings.warn(
            f"{target}: these files cannot say how images were prepared for {checkpoint.source.name} ({changes}): "
            "prepare them so in your program",
            LevitWarning,
            stacklevel=4,
        )


def _effective(preprocessing: Preprocessing) -> Preprocessing:
    """The same with the steps that change nothing spelled out."""
    if preprocessing.mean is None:
        preprocessing = replace(preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    if preprocessing.crop is None and isinstance(preprocessing.resize, tuple):
        preprocessing = replace(preprocessing, crop=preprocessing.resize)
    return preprocessing


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) and isinstance(value[0], int) else str(value)
