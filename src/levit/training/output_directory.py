"""The folder of a run: whose it is, what was asked for, and whether there is room."""

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
from levit.training.checkpointer import LAST, Basis, has_state, settle_last, write_text
from levit.training.datasets import IMAGE_COPIES
from levit.training.options import TrainingOptions
from levit.training.recipe import read_recipe

ARGUMENTS_FILE = "args.yaml"

_LOCK_FILE = ".lock"
_PATIENCE = 5  # seconds, with a process that was just told to stop
_COPIES = 12  # of the weights: best, last, average, optimizer; and once more while they are replaced


def check_folder(options: TrainingOptions) -> None:
    """Look whether a folder is new, or the run in it this one.

    Raises:
        ConfigError: it holds another run or something else, or its run was told something else.
    """
    run = Path(options.run.out)
    arguments = run / ARGUMENTS_FILE
    if arguments.exists():
        if not options.run.resume:
            raise ConfigError(f"--out {run}: there is a run in it: go on with it by --resume, or give another folder")
        settle_last(run)
        before = TrainingOptions.from_flat(**read_recipe(arguments))
        if (changed := before.differences(options)) and has_state(run):
            raise ConfigError(
                f"--resume: the run in {run} began with another {', '.join(changed)}: give what is in {arguments}, or "
                f"begin another run with {_anew(run, options)}"
            )
        if (before.data.data, before.data.val) != (options.data.data, options.data.val):
            text = (
                f"--resume: {run} goes on with images from another place, of which only names and labels are compared"
            )
            warnings.warn(text, LevitWarning, stacklevel=2)
    elif any(not path.name.startswith(".") for path in run.iterdir()):
        raise ConfigError(f"--out {run}: there is something else in it: give a new folder")


def check_basis(before: Basis, now: Basis, options: TrainingOptions) -> None:
    """Look whether a run that goes on stands on what it began with.

    Raises:
        ConfigError: the images or the teacher are others, or steps have another size; other processes are a warning.
    """
    run = Path(options.run.out)
    anew = f"begin another run with {_anew(run, options)}"
    if before.images != now.images:
        raise ConfigError(
            f"--resume: the run in {run} began with other images or labels, and may have learned from those that it "
            f"would be judged by: bring them back, or {anew}"
        )
    if before.teacher not in ("", now.teacher):  # what an older program saved does not say
        raise ConfigError(
            f"--resume: {options.teacher.teacher} has learned since the run in {run} began with it as its teacher: bring back "
            f"the weights that it had, or {anew}"
        )
    if before.step_size != now.step_size:
        raise ConfigError(
            f"--resume: the run in {run} began with {before.step_size} images in a step on {before.processes} "
            f"processes, and {now.processes} make it {now.step_size}: use as many as before, or {anew}"
        )
    if before.processes != now.processes:
        text = f"{run} began on {before.processes} processes, and goes on with {now.processes}: not to the same bits"
        warnings.warn(text, LevitWarning, stacklevel=2)


def _anew(run: Path, options: TrainingOptions) -> str:
    """What takes over the weights of a run."""
    less = " --no-from-scratch" * options.model.from_scratch + ", no --patch-size" * (
        options.model.patch_size is not None
    )
    return f"--model {run / LAST}{less} and another --out"


@contextmanager
def held_folder(options: TrainingOptions) -> Iterator[None]:
    """The folder of a run, this process's alone for as long; copies of images go with its end, whatever that is.

    What fails before the run begins unmakes the folder.

    Raises:
        ConfigError: it cannot be written, another process holds it, or `check_folder` says so.
    """
    run = Path(options.run.out)
    made = [folder for folder in (run, *run.parents) if not os.path.exists(folder)]  # noqa: PTH110  # Path's raises where it may not look
    copies = run / IMAGE_COPIES
    try:
        _make(run)
        with _locked(run):
            was_there = copies.exists()  # which somebody else has put there, or a process that was killed
            check_folder(options)
            try:
                yield
            finally:
                if (run / ARGUMENTS_FILE).exists() or not was_there:
                    shutil.rmtree(copies, ignore_errors=True)
    except BaseException:
        if not (run / ARGUMENTS_FILE).exists():
            with suppress(OSError):  # somebody else has put something there
                for folder in made:
                    if folder.exists():
                        folder.rmdir()
        raise


def _make(run: Path) -> None:
    try:
        run.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=run):
            pass
    except OSError as error:
        raise ConfigError(f"--out {run}: cannot be written ({error.strerror})") from error


@contextmanager
def _locked(run: Path) -> Iterator[None]:
    """Two processes that write into one folder ruin both their runs; the system ends the lock of a killed one."""
    lock = FileLock(run / _LOCK_FILE, timeout=_PATIENCE, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise ConfigError(
            f"--out {run}: another process is training in it: wait for its end, or give another folder"
        ) from error
    except OSError as error:  # some file systems of clusters have no locks
        warnings.warn(f"{run}: cannot be locked ({error.strerror}): start no second run in it", LevitWarning, 2)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps what is open
            (run / _LOCK_FILE).unlink()
        lock.release()


def write_arguments(options: TrainingOptions, became: str) -> None:
    """All options, as the run understood them; from here on the folder is this run's.

    Args:
        options: of the run.
        became: what came of those that leave something open, in a line.
    """
    import yaml

    text = yaml.safe_dump(options.to_flat() | {"resume": False}, sort_keys=False, allow_unicode=True)
    versions = f"levit {levit.__version__}, torch {torch.__version__}"
    write_text(Path(options.run.out) / ARGUMENTS_FILE, f"# {versions}; {became}\n{text}")


def check_space(run: Path, weights: int, copied: int) -> None:
    """Raise unless the disk has room for the run.

    Args:
        run: its folder.
        weights: their size in bytes.
        copied: bytes of images that will be copied into it.

    Raises:
        LevitError: it has not.
    """
    needed, free = _COPIES * weights + copied, shutil.disk_usage(run).free
    if free < needed:
        raise LevitError(
            f"--out {run}: the run needs {needed / 1e6:,.0f} MB, and the disk has {free / 1e6:,.0f} MB left: make "
            "room, or give a folder elsewhere"
        )
