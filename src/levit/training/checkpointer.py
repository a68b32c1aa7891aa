"""All that is needed to go on: a folder that is complete or absent, whenever the process is killed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from levit.errors import CheckpointError

LAST = "last"
STATE_FILE = "training_state.pt"

_PARTIAL, _COMPLETE = ".last.partial", ".last.complete"


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What a run stands on besides its options: without it, what was saved means something else.

    Attributes:
        images: a digest of their names and labels, in order.
        teacher: a digest of the weights of who teaches; empty where nobody does.
        step_size: images in a step.
        processes: that learn together.
    """

    images: str
    step_size: int
    processes: int
    teacher: str = ""


@dataclass(kw_only=True)
class Progress:
    """How far a run is; what follows is a function of this, its basis, the options and the weights.

    Attributes:
        epoch: which is under way, from 0.
        step: how many of its steps are done.
        sums: of the epoch so far: loss and right answers, each times images, and images.
        rows: of `results.csv`.
        best: the best value of the metric so far, and best_epoch where it was.
        is_over: whether no better epoch came for as long as was to be waited.
    """

    epoch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    rows: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    best_epoch: int = -1
    is_over: bool = False


def save_state(
    run: Path, basis: Basis, progress: Progress, tensors: dict[str, Any], write_model: Callable[[Path], None]
) -> None:
    """Replace `last/` by what is true now.

    It is written under another name, and that name says when it is complete; `settle_last` finishes what was
    interrupted after that.

    Args:
        run: the folder of the run.
        basis: what it stands on.
        progress: how far it is.
        tensors: states of network, average and optimizer.
        write_model: writes the network as others read it.

    Raises:
        CheckpointError: it cannot be written; what was there before is still there.
    """
    partial = run / _PARTIAL
    with writing(run / LAST):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        write_model(partial)
        torch.save({"basis": asdict(basis), "progress": asdict(progress), **tensors}, partial / STATE_FILE)
        _flush(partial)
        settle_last(run)
        partial.rename(run / _COMPLETE)
        settle_last(run)


@contextmanager
def writing(what: Path) -> Iterator[None]:
    """Say what could not be written, and the way out.

    Raises:
        CheckpointError: instead of an error of the system.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch's way of saying that a disk is full is the second
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"{what}: cannot be written ({reason}): make room, and go on by --resume") from error


def settle_last(run: Path) -> None:
    """Give a complete folder its name where a process was killed before it could."""
    complete, last = run / _COMPLETE, run / LAST
    if complete.exists():
        shutil.rmtree(last, ignore_errors=True)
        complete.rename(last)


def has_state(run: Path) -> bool:
    """Whether a run has saved anything to go on from."""
    return (run / LAST / STATE_FILE).is_file()


def load_state(run: Path) -> tuple[Basis, Progress, dict[str, Any]] | None:
    """What `save_state` wrote last, or None where there is nothing yet.

    Raises:
        CheckpointError: it is damaged.
    """
    file = run / LAST / STATE_FILE
    if not file.is_file():
        return None
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
        return Basis(**tensors.pop("basis")), Progress(**tensors.pop("progress")), tensors
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise CheckpointError(
            f"{file}: damaged ({' '.join(str(error).split())[:200]}): start anew with another --out"
        ) from error


def write_text(file: Path, text: str) -> None:
    """Write a file so that it is complete or what it was before."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def _flush(folder: Path) -> None:
    """To the disk, so that what is renamed afterwards is whole even if the machine stops."""
    for path in folder.iterdir():
        with path.open("r+b") as stream:
            os.fsync(stream.fileno())
