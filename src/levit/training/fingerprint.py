"""Fingerprint of a run: hashes of image names, labels and teacher, and the step size; a resumed run must share them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from levit.errors import ConfigError, LevitWarning


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Inputs of a run besides its options; a saved state can be resumed with the same inputs only.

    Attributes:
        images: hash of the names and labels of the training and validation images, in order.
        step_size: images in a step.
        num_processes: number of processes that train together; another number is only a warning.
        teacher: hash of the teacher's weights; empty without a teacher.
    """

    images: str
    step_size: int
    num_processes: int
    teacher: str = ""


def check_fingerprint(saved: Fingerprint, current: Fingerprint, run: object, hint: str) -> None:
    """Check that a resumed run has the inputs that it started with.

    Args:
        saved: fingerprint in the state of the run.
        current: fingerprint of the resumed run.
        run: the run directory, for messages.
        hint: alternative to resuming, the end of each message.

    Raises:
        ConfigError: images, teacher or step size differ. Another number of processes is a warning.
    """
    if saved.images != current.images:
        raise ConfigError(
            "cannot resume with other images or labels, because validation images may have been trained on",
            source=run, hint=f"restore the images, or {hint}",
        )  # fmt: skip
    if saved.teacher not in ("", current.teacher):
        raise ConfigError(
            "cannot resume with other weights of the teacher", source=run, hint=f"restore its weights, or {hint}"
        )
    if saved.step_size != current.step_size:
        raise ConfigError(
            f"cannot resume with {current.step_size} images in a step on {current.num_processes} processes, because "
            f"the run started with {saved.step_size} on {saved.num_processes}",
            source=run, hint=f"use as many processes as before, or {hint}",
        )  # fmt: skip
    if saved.num_processes != current.num_processes:
        text = f"{run}: started on {saved.num_processes} processes and resumed on {current.num_processes}: results"
        warnings.warn(f"{text} are not bit-exact", LevitWarning, stacklevel=2)
