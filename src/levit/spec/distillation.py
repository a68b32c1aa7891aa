"""Settings of the distillation loss: defaults and validation."""

from __future__ import annotations

from math import inf
from typing import Any

from levit.errors import ConfigError

# Names and values of the paper's code.
DISTILLATION_DEFAULTS: dict[str, Any] = {
    "distillation_type": "hard",
    "distillation_alpha": 0.5,
    "distillation_tau": 1.0,
}


def check_distillation(kind: object, alpha: object, tau: object) -> None:
    """Validate the settings of a distillation loss.

    Raises:
        ConfigError: a setting is invalid; the source is the field of `LevitConfig`.
    """
    if kind not in ("hard", "soft"):
        raise ConfigError(f"{kind!r} is invalid", source="distillation_type", hint='use "hard" or "soft"')
    if not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise ConfigError(f"{alpha!r} is invalid", source="distillation_alpha", hint="use a number from 0 to 1")
    if not isinstance(tau, int | float) or not 0 < tau < inf:
        raise ConfigError(f"{tau!r} is invalid", source="distillation_tau", hint="use a number above 0")
