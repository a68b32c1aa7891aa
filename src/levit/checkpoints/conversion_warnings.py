"""What a library's files cannot say of the preprocessing and the classes, as a warning."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import LevitWarning
from levit.spec.labels import default_labels
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


def warn_of_lost_decisions(checkpoint: Checkpoint, target: str) -> None:
    """Warn where a file is written that cannot say that each label is decided by itself."""
    if checkpoint.is_multi_label:
        warnings.warn(
            f"{target}: this file cannot say that each label is decided by itself: take the sigmoid of the logits in "
            "your program, or convert to transformers or timm",
            LevitWarning,
            stacklevel=4,
        )


def warn_of_lost_labels(checkpoint: Checkpoint, target: str) -> None:
    """Warn where a file without names of classes is written, and its readers will assume others."""
    if checkpoint.labels != default_labels(len(checkpoint.labels)):
        warnings.warn(
            f"{target}: this file cannot name the {len(checkpoint.labels)} classes ({checkpoint.labels[0]}, …): "
            "keep the names elsewhere, or convert to transformers or timm",
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
