"""State of a run on disk, from which it is resumed: complete or absent whenever the process is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from levit.errors import CheckpointError, first_line
from levit.files import remove, remove_partials, replacing
from levit.training.option_groups import ModelOptions
from levit.training.progress import Progress

LAST = "last"
STATE_FILE = "training_state.pt"

_COMPLETE = ".last.complete"  # a complete state that was not renamed to `last` yet


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


class RunState(NamedTuple):
    """Content of `last/training_state.pt`.

    Attributes:
        fingerprint: inputs of the run.
        progress: progress of the run.
        tensors: state dicts under the names "network", "optimizer", "average" and "scaler"; those of the moving average
            and of the gradient scaler may be None. Empty in a complete run that did not keep them.
    """

    fingerprint: Fingerprint
    progress: Progress
    tensors: dict[str, Any]


def save_state(run: Path, state: RunState, write_model: Callable[[Path], None]) -> None:
    """Replace `last/`.

    A folder cannot replace another one in one operation. The new one is therefore renamed twice, and
    `finish_interrupted_save` repeats the second renaming where the process was killed before it.

    Args:
        run: the run directory.
        state: what to save.
        write_model: writes the network, as transformers reads it, into a folder.

    Raises:
        CheckpointError: the files cannot be written; `last/` is as before.
    """
    with checkpoint_errors(run / LAST):
        finish_interrupted_save(run)
        with replacing(run / _COMPLETE) as partial:
            partial.mkdir()
            write_model(partial)
            _write_state(partial / STATE_FILE, state)
        finish_interrupted_save(run)


def drop_tensors(run: Path, fingerprint: Fingerprint, progress: Progress) -> None:
    """Replace the saved state of a complete run by one without tensors, a few kilobytes: it is not resumed.

    Args:
        run: the run directory.
        fingerprint: inputs of the run.
        progress: progress of the run.

    Raises:
        CheckpointError: the file cannot be written; the state is as before.
    """
    with checkpoint_errors(run / LAST), replacing(run / LAST / STATE_FILE) as partial:
        _write_state(partial, RunState(fingerprint, progress, {}))


def _write_state(file: Path, state: RunState) -> None:
    plain = {"fingerprint": asdict(state.fingerprint), "progress": asdict(state.progress)}
    torch.save(plain | state.tensors, file)


def finish_interrupted_save(run: Path) -> None:
    """Rename a complete state to `last/`, and delete incomplete files that killed processes left."""
    complete, last = run / _COMPLETE, run / LAST
    if complete.exists():
        remove(last)
        complete.rename(last)
    for folder in (run, *(path for path in run.glob("*") if path.is_dir())):
        remove_partials(folder)


@contextmanager
def checkpoint_errors(target: Path) -> Iterator[None]:
    """Raise `CheckpointError` where `target` cannot be written; torch reports a full disk as `RuntimeError`."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        hint = "free space on the disk, and continue with `resume`"
        raise CheckpointError(f"cannot be written ({first_line(error)})", source=target, hint=hint) from error


def has_state(run: Path) -> bool:
    """Return whether a run has saved a state."""
    return (run / LAST / STATE_FILE).is_file()


def new_run_hint(run: Path, options: ModelOptions) -> str:
    """Hint to start another run from the weights of a run that cannot be resumed."""
    changes = [f"`model={run / LAST}`"]
    changes += ["`from_scratch=False`"] * options.from_scratch
    changes += ["no `patch_size`"] * (options.patch_size is not None)
    return f"start another run with {', '.join(changes)} and another `out`"


def load_state(run: Path) -> RunState | None:
    """Load the last saved state of a run; None if there is none.

    Raises:
        CheckpointError: the file is damaged.
    """
    if not has_state(run):
        return None
    file = run / LAST / STATE_FILE
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
        return RunState(Fingerprint(**tensors.pop("fingerprint")), Progress(**tensors.pop("progress")), tensors)
    except Exception as error:  # torch raises many types for a damaged file
        hint = "start another run with another `out`"
        raise CheckpointError(f"damaged ({first_line(error)})", source=file, hint=hint) from error
