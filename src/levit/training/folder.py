"""The folder of a run: what was asked for, what came of every epoch, and curves."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

import levit
from levit.errors import ConfigError, LevitError, LevitWarning
from levit.training.options import TrainingOptions, options_from, read_options
from levit.training.saving import LAST, Basis, has_state, settle_last, write_text
from levit.training.sources import COPIES

ARGUMENTS_FILE = "args.yaml"
RESULTS_FILE = "results.csv"
CURVES_FILE = "curves.png"

_FEW_EPOCHS = 30
_COPIES = 12  # of the weights: best, last, average, optimizer; and once more while they are replaced


def check_folder(options: TrainingOptions) -> None:
    """Make the folder of a run, or look whether the run in it is this one.

    Raises:
        ConfigError: it cannot be written, holds another run or something else, or its run was told something else.
    """
    run = Path(options.out)
    try:
        run.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=run):
            pass
    except OSError as error:
        raise ConfigError(f"--out {run}: cannot be written ({error.strerror})") from error
    arguments = run / ARGUMENTS_FILE
    if arguments.exists():
        if not options.resume:
            raise ConfigError(f"--out {run}: there is a run in it: go on with it by --resume, or give another folder")
        settle_last(run)
        before = options_from(read_options(arguments), str(arguments))
        if (changed := before.differences(options)) and has_state(run):
            raise ConfigError(
                f"--resume: the run in {run} began with another {', '.join(changed)}: give what is in {arguments}, or "
                f"begin another run with {_anew(run, options)}"
            )
        if (before.data, before.val) != (options.data, options.val):
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
    run = Path(options.out)
    anew = f"begin another run with {_anew(run, options)}"
    if before.images != now.images:
        raise ConfigError(
            f"--resume: the run in {run} began with other images or labels, and may have learned from those that it "
            f"would be judged by: bring them back, or {anew}"
        )
    if before.teacher not in ("", now.teacher):  # what an older program saved does not say
        raise ConfigError(
            f"--resume: {options.teacher} has learned since the run in {run} began with it as its teacher: bring back "
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
    less = " --no-from-scratch" * options.from_scratch + ", no --patch-size" * (options.patch_size is not None)
    return f"--model {run / LAST}{less} and another --out"


@contextmanager
def checked_folder(options: TrainingOptions) -> Iterator[None]:
    """The folder of a run, made or looked at as by `check_folder`; what fails before the run begins unmakes it."""
    run = Path(options.out)
    places = (run / COPIES, run, *run.parents)
    made = [folder for folder in places if not os.path.exists(folder)]  # noqa: PTH110  # Path's raises where it may not look
    check_folder(options)
    try:
        yield
    except BaseException:
        if not (run / ARGUMENTS_FILE).exists():
            if run / COPIES in made:
                shutil.rmtree(run / COPIES, ignore_errors=True)
            with suppress(OSError):  # somebody else has put something there
                for folder in made:
                    if folder.exists():
                        folder.rmdir()
        raise


def write_arguments(options: TrainingOptions, became: str) -> None:
    """All options, as the run understood them; from here on the folder is this run's.

    Args:
        options: of the run.
        became: what came of those that leave something open, in a line.
    """
    import yaml

    text = yaml.safe_dump(options.to_dict() | {"resume": False}, sort_keys=False, allow_unicode=True)
    versions = f"levit {levit.__version__}, torch {torch.__version__}"
    write_text(Path(options.out) / ARGUMENTS_FILE, f"# {versions}; {became}\n{text}")


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


def write_results(run: Path, rows: Sequence[dict[str, float]]) -> None:
    """All epochs, one line each; a run that was interrupted writes what it would have written."""
    if not rows:
        return
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(run / RESULTS_FILE, stream.getvalue())


def draw_curves(run: Path, rows: Sequence[dict[str, float]], metric: str) -> None:
    """Loss, metric and learning rate over the epochs, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, values, rates = figure.subplots(1, 3)
    # A line of one point would not be seen.
    style: dict[str, Any] = {"marker": "o", "markersize": 3} if len(epochs) <= _FEW_EPOCHS else {}
    losses.plot(epochs, [row["train_loss"] for row in rows], label="training", color="#8a8a8a", **style)
    losses.plot(epochs, [row["loss"] for row in rows], label="validation", color="#0b6e4f", **style)
    if metric != "loss":
        labels = {metric: ("validation", "#0b6e4f"), f"ema_{metric}": ("moving average", "#c8553d")}
        shown = [name for name in labels if name in rows[0]]
        for name in shown:
            label, color = labels[name]
            values.plot(epochs, [row[name] for row in rows], label=label, color=color, **style)
        values.axhline(max(row[name] for row in rows for name in shown), color="#333333", linewidth=0.5, linestyle=":")
    rates.plot(epochs, [row["lr"] for row in rows], color="#333333", **style)
    for axes, title in ((losses, "loss"), (values, f"{metric}, %"), (rates, "learning rate")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    partial = run / f".{CURVES_FILE}"
    figure.savefig(partial, dpi=120, format="png")
    partial.replace(run / CURVES_FILE)
