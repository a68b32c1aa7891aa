"""Fields of a configuration of transformers that concern training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from levit.spec.distillation import DISTILLATION_DEFAULTS, check_distillation
from levit.spec.field_values import check_not_negative

# `problem_type` of a classifier whose images may have several labels.
MULTI_LABEL = "multi_label_classification"

_OTHER_PROBLEMS = ("regression", "single_label_classification")


class TrainingFields(TypedDict):
    """Fields of `Checkpoint` that concern training; see there."""

    drop_path_rate: float
    initializer_range: float
    is_multi_label: bool
    problem_type: str | None
    distillation_type: str
    distillation_alpha: float
    distillation_tau: float


def training_fields(config: Mapping[str, Any]) -> TrainingFields:
    """Fields of a configuration that concern training.

    Raises:
        ConfigError: `drop_path_rate` or `initializer_range` is not a number of at least 0, or a setting of the
            distillation is invalid.
    """
    problem = config.get("problem_type")
    kind, alpha, tau = (config.get(name, default) for name, default in DISTILLATION_DEFAULTS.items())
    check_distillation(kind, alpha, tau)
    fields: TrainingFields = {
        "drop_path_rate": config.get("levit_drop_path_rate", config.get("drop_path_rate", 0)),
        "initializer_range": config.get("initializer_range", 0.02),
        "is_multi_label": problem == MULTI_LABEL,
        "problem_type": problem if problem in _OTHER_PROBLEMS else None,
        "distillation_type": kind,
        "distillation_alpha": alpha,
        "distillation_tau": tau,
    }
    for name in ("drop_path_rate", "initializer_range"):
        check_not_negative(name, fields[name])
    return fields
