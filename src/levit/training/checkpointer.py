"""Checkpoints of a run: the last state, the best weights and the moving average."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)

from levit.training.failures import NonFiniteError
from levit.training.model_state import ModelState
from levit.training.progress import BestWeights, Progress
from levit.training.run_state import Fingerprint, RunState, checkpoint_errors, save_state
from levit.training.student import Student

AVERAGE = "ema"

_ON_FIRST_PROCESS = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(kw_only=True)
class Checkpointer:
    """Saves and restores a run; only the first process writes.

    Attributes:
        run: the run directory.
        accelerator: device, precision and processes.
        student: writes weights with their configuration and preprocessing.
        model: network, optimizer and average.
        fingerprint: inputs of the run, saved with its state.
    """

    run: Path
    accelerator: Accelerator
    student: Student
    model: ModelState
    fingerprint: Fingerprint
    _held: dict[str, Tensor] | None = field(default=None, init=False)

    def hold(self, best: BestWeights) -> None:
        """Copy the best weights of an epoch that is not saved; the next state that is saved comes with them.

        All processes call it at the same point.
        """
        weights = cast(dict[str, Tensor], get_model_state_dict(self.model.prepared, options=_ON_FIRST_PROCESS))
        self._held = {name: tensor.clone() for name, tensor in self._weights(best, weights).items()}

    def save(self, progress: Progress, *, best: BestWeights | None = None) -> None:
        """Write `last/` and `ema/`, and the best weights into the run directory.

        All processes call it at the same point. Only the first one writes, with its own statistics of batch norms; the
        others wait for it where they call this in `long_work`.

        Args:
            progress: progress of the run, saved with its state.
            best: which weights of this epoch are better than those of all epochs before, if any.

        Raises:
            CheckpointError: files cannot be written.
            NonFiniteError: a weight is infinite or NaN; nothing was written.
        """
        states = get_state_dict(self.model.prepared, self.model.optimizer.optimizer, options=_ON_FIRST_PROCESS)
        weights, optimizer = cast(dict[str, Tensor], states[0]), states[1]
        if not all(torch.isfinite(tensor).all() for tensor in weights.values()):
            where = f"the step after step {progress.step} of epoch {progress.epoch + 1}"
            raise NonFiniteError(float("nan"), where)
        if self.accelerator.is_main_process:
            average = self.model.average.module.state_dict() if self.model.average is not None else None
            scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler is not None else None
            tensors = {"network": weights, "optimizer": optimizer, "average": average, "scaler": scaler}
            with checkpoint_errors(self.run):
                if (best_weights := self._weights(best, weights) if best else self._held) is not None:
                    self.student.save(self.run, best_weights)
                state = RunState(self.fingerprint, progress, tensors)
                save_state(self.run, state, lambda folder: self.student.save(folder, weights))
                self._save_average()
        self._held = None

    def restore(self, tensors: dict[str, Any]) -> None:
        """Load the tensors of a saved state, and write `ema/` again, which a killed process may have left out.

        A complete run may have kept no tensors, and needs none.
        """
        if not tensors:
            return
        set_state_dict(
            self.model.prepared, self.model.optimizer.optimizer, model_state_dict=tensors["network"],
            optim_state_dict=tensors["optimizer"], options=StateDictOptions(full_state_dict=True),
        )  # fmt: skip
        if self.model.average is not None:
            self.model.average.module.load_state_dict(tensors["average"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(tensors["scaler"])
        if self.accelerator.is_main_process:
            with checkpoint_errors(self.run):
                self._save_average()

    def _weights(self, best: BestWeights, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of the network, or those of its average."""
        average = self.model.average
        return weights if best == "network" or average is None else average.module.state_dict()

    def _save_average(self) -> None:
        if self.model.average is not None:
            self.student.save(self.run / AVERAGE, self.model.average.module.state_dict())
