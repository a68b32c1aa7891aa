"""Run directory: its lock, the options of the run in it, and free space."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout

import levit
from levit.errors import ConfigError, LevitError, LevitWarning
from levit.files import write_text
from levit.training.checkpointer import AVERAGE
from levit.training.datasets import IMAGE_COPIES
from levit.training.options import TrainingOptions
from levit.training.resuming import check_options
from levit.training.run_state import LAST, finish_interrupted_save

ARGUMENTS_FILE = "args.yaml"

LOCK_FILE = ".lock"
_LOCK_SECONDS = 5.0  # a process that was just stopped has this time to end
_WEIGHT_COPIES = 12  # best, last, average and optimizer (two each), and all once more while they are replaced


@contextmanager
def lock_run_directory(options: TrainingOptions, *, lock_seconds: float = _LOCK_SECONDS) -> Iterator[None]:
    """Create and lock the run directory, and delete the copies of images in it at the end, whatever the outcome.

    A directory that was created is deleted again if the run fails before `write_arguments`.

    Args:
        options: options of the run; `out` and `resume` select the directory and whether it may contain a run.
        lock_seconds: how long to wait for another process to release the lock.

    Raises:
        ConfigError: the directory cannot be written, is locked by another process, or belongs to another run.
    """
    run = Path(options.run.out)
    created = [folder for folder in (run, *run.parents) if not os.path.exists(folder)]  # noqa: PTH110  # Path.exists raises without permission
    copies = run / IMAGE_COPIES
    try:
        _create(run)
        with _lock(run, lock_seconds):
            existed = copies.exists()  # from a killed process; or a folder of the user, if this is not a run directory
            check_run_directory(options)
            if (run / ARGUMENTS_FILE).exists():
                shutil.rmtree(copies, ignore_errors=True)  # of a killed process; they would take the space of new ones
            try:
                yield
            finally:
                if (run / ARGUMENTS_FILE).exists() or not existed:
                    shutil.rmtree(copies, ignore_errors=True)
    except BaseException:
        if not (run / ARGUMENTS_FILE).exists():
            with suppress(OSError):  # a folder is not empty
                for folder in created:
                    if folder.exists():
                        folder.rmdir()
        raise


def check_run_directory(options: TrainingOptions) -> None:
    """Check that the run directory is empty, or contains the run that is to be resumed.

    Raises:
        ConfigError: it contains a run that is not to be resumed or has other options, or other files.
    """
    run = Path(options.run.out)
    arguments = run / ARGUMENTS_FILE
    if not arguments.exists():
        if any(not path.name.startswith(".") for path in run.iterdir()):
            raise ConfigError(f"is {run}, which is not empty", source="out", hint="give a new folder")
        return
    if not options.run.resume:
        hint = "continue it with `resume`, or give another folder"
        raise ConfigError(f"is {run}, which contains a run", source="out", hint=hint)
    finish_interrupted_save(run)
    check_options(options, arguments)


def write_arguments(options: TrainingOptions, description: str) -> None:
    """Write all options to `args.yaml`; from then on the directory belongs to the run.

    Args:
        options: options of the run, without open choices.
        description: one line with what follows from them: sizes, numbers of images, devices.
    """
    import yaml

    text = yaml.safe_dump(options.to_flat() | {"resume": False}, sort_keys=False, allow_unicode=True)
    versions = f"levit {levit.__version__}, torch {torch.__version__}"
    write_text(Path(options.run.out) / ARGUMENTS_FILE, f"# {versions}; {description}\n{text}")


def check_free_space(run: Path, *, weights: int, others: int, free: int | None = None) -> None:
    """Check that the disk has space for the run.

    Args:
        run: the run directory.
        weights: size of the weights in bytes.
        others: size in bytes of other files that will be written into it: copies of images, and logits of a teacher.
        free: free space in bytes; default: that of the disk. The space of the weights that the run already holds is
            available to it as well, because they are replaced.

    Raises:
        LevitError: it has not.
    """
    held = sum(file.stat().st_size for file in _weight_files(run))
    needed = max(_WEIGHT_COPIES * weights - held, _WEIGHT_COPIES // 2 * weights) + others
    free = shutil.disk_usage(run).free if free is None else free
    if free < needed:
        reason = f"the run needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
        raise LevitError(reason, source=run, hint="free space on the disk, or give another folder")


def _weight_files(run: Path) -> list[Path]:
    """Files of a run that are replaced by each save."""
    folders = [folder for folder in (run, run / LAST, run / AVERAGE) if folder.is_dir()]
    return [file for folder in folders for file in folder.iterdir() if file.suffix in (".safetensors", ".pt")]


def _create(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=run):
            pass
    except OSError as error:
        raise ConfigError(f"is {run}, which cannot be written ({error.strerror})", source="out") from error


@contextmanager
def _lock(run: Path, seconds: float) -> Iterator[None]:
    """Lock a run directory; the operating system releases the lock of a killed process."""
    lock = FileLock(run / LOCK_FILE, timeout=seconds, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        hint = "wait until it ends, or give another folder"
        raise ConfigError(f"is {run}, in which another process is training", source="out", hint=hint) from error
    except OSError as error:  # some file systems of clusters have no locks
        text = f"{run} cannot be locked ({error.strerror}): do not start a second run in it"
        warnings.warn(text, LevitWarning, stacklevel=2)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not delete an open file
            (run / LOCK_FILE).unlink()
        lock.release()
