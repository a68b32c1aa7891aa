"""Whether a run may be resumed: with the options, the images and the teacher that it started with, and its state."""

from __future__ import annotations

import warnings
from pathlib import Path

from levit.errors import ConfigError, LevitWarning
from levit.training.checkpointer import Checkpointer
from levit.training.options import TrainingOptions
from levit.training.progress import Progress
from levit.training.recipe import read_recipe
from levit.training.run_state import LAST, STATE_FILE, Fingerprint, has_state, load_state, new_run_hint


def check_options(options: TrainingOptions, arguments: Path) -> None:
    """Check that a resumed run has the options that it started with, and that its state was not removed.

    Args:
        options: options of the resumed run.
        arguments: `args.yaml` in its run directory.

    Raises:
        ConfigError: options differ that change what is computed, or the state was removed. Other images at a time, by
            `accumulate`, and another path of the images are warnings.
    """
    run = Path(options.run.out)
    previous = TrainingOptions.from_flat(**read_recipe(arguments))
    changed = previous.differences(options) if has_state(run) else []
    if refused := [name for name in changed if name != "accumulate"]:
        names = ", ".join(f"`{name}`" for name in refused)
        hint = f"give the values in {arguments}, or {new_run_hint(run, options.model)}"
        raise ConfigError(f"cannot resume with other values of {names}", source=run, hint=hint)
    if changed:
        counts = f"{previous.optimizer.accumulate} and resumed with {options.optimizer.accumulate}"
        text = f"{run}: started with `accumulate` {counts}: results are not bit-exact"
        warnings.warn(text, LevitWarning, stacklevel=2)
    if (run / LAST).is_dir() and not has_state(run):
        reason = f"cannot be resumed, because {run / LAST / STATE_FILE} was removed"
        raise ConfigError(reason, source=run, hint=new_run_hint(run, options.model))
    paths, others = ((part.data, part.val) for part in (previous.data, options.data))
    if not all(map(is_same_data, paths, others)):
        text = f"{run}: resumed with images at another path; only their names and labels are compared"
        warnings.warn(text, LevitWarning, stacklevel=2)


def is_same_data(first: str | None, second: str | None) -> bool:
    """Return whether two names of data are equal, or paths of one file or folder.

    Examples:
        >>> is_same_data("photos/", "./photos"), is_same_data("photos", None)
        (True, False)
    """
    if first is None or second is None:
        return first == second
    return first == second or Path(first).resolve() == Path(second).resolve()


def restore_state(checkpointer: Checkpointer, options: TrainingOptions) -> Progress:
    """Restore the saved state of a run, if there is one.

    Raises:
        ConfigError: the run started with other images, another teacher or another step size, or it is complete and did
            not keep its optimizer state.
    """
    state = load_state(checkpointer.run)
    if state is None:
        return Progress()
    hint = new_run_hint(checkpointer.run, options.model)
    check_fingerprint(state.fingerprint, checkpointer.fingerprint, checkpointer.run, hint)
    progress = state.progress
    if not state.tensors and not progress.is_complete(options.schedule.total_epochs):  # `keep_state` keeps them
        completed = f"the run completed after epoch {progress.epoch}"
        reason = f"cannot be continued: {completed} and its optimizer state was not kept"
        raise ConfigError(reason, source=checkpointer.run, hint=hint)
    checkpointer.restore(state.tensors)
    return progress


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
    if saved.teacher != current.teacher:
        raise ConfigError(
            "cannot resume with other weights of the teacher", source=run, hint=f"restore its weights, or {hint}"
        )
    if saved.step_size != current.step_size:
        raise ConfigError(
            f"cannot resume with {current.step_size} images in a step on {current.num_processes} processes, because "
            f"the run started with {saved.step_size} on {saved.num_processes}",
            source=run, hint=f"use as many processes and `accumulate` as before, or {hint}",
        )  # fmt: skip
    if saved.num_processes != current.num_processes:
        text = f"{run}: started on {saved.num_processes} processes and resumed on {current.num_processes}: results"
        warnings.warn(f"{text} are not bit-exact", LevitWarning, stacklevel=2)
