"""Warnings about information that the files of another library cannot contain."""

from __future__ import annotations

import warnings
from dataclasses import fields, replace
from typing import Any

from levit.checkpoints.checkpoint import Checkpoint
from levit.errors import LevitWarning
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing

_STACK_LEVEL = 4  # the caller of `convert`


def warn_about_preprocessing(checkpoint: Checkpoint, written: Preprocessing, target: str) -> None:
    """Warn if the preprocessing in the written files differs from that of the checkpoint.

    Args:
        checkpoint: the checkpoint that was written.
        written: preprocessing that the files describe, or that their readers assume.
        target: description of the written files, for the warning.
    """
    before, after = _explicit(checkpoint.preprocessing), _explicit(written)
    changes = ", ".join(
        f"{field.name} {_text(getattr(before, field.name))} becomes {_text(getattr(after, field.name))}"
        for field in fields(Preprocessing)
        if getattr(before, field.name) != getattr(after, field.name)
    )
    if changes:
        warnings.warn(
            f"{target}: these files cannot contain the preprocessing of {checkpoint.source.name} ({changes}): "
            "preprocess images in your program as before",
            LevitWarning,
            stacklevel=_STACK_LEVEL,
        )


def warn_about_multi_label(checkpoint: Checkpoint, target: str) -> None:
    """Warn if the checkpoint is a multi-label classifier, because the written file cannot mark it as such."""
    if checkpoint.is_multi_label:
        warnings.warn(
            f"{target}: this file cannot mark a multi-label classifier: take the sigmoid of the logits in your "
            "program, or convert to transformers or timm",
            LevitWarning,
            stacklevel=_STACK_LEVEL,
        )


def warn_about_labels(checkpoint: Checkpoint, target: str) -> None:
    """Warn that the written file cannot contain class names, if its readers would assume other names."""
    if checkpoint.labels != default_labels(len(checkpoint.labels)):
        warnings.warn(
            f"{target}: this file cannot contain the names of the {len(checkpoint.labels)} classes "
            f"({checkpoint.labels[0]}, …): store the names elsewhere, or convert to transformers or timm",
            LevitWarning,
            stacklevel=_STACK_LEVEL,
        )


def _explicit(preprocessing: Preprocessing) -> Preprocessing:
    """Equivalent preprocessing in which omitted normalization and cropping are explicit identity steps."""
    if preprocessing.mean is None:
        preprocessing = replace(preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    if preprocessing.crop is None and isinstance(preprocessing.resize, tuple):
        preprocessing = replace(preprocessing, crop=preprocessing.resize)
    return preprocessing


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) and isinstance(value[0], int) else str(value)
