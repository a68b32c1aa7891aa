"""Summary of a training run: accuracy, files and suggested next commands."""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from levit.data.labeled_images import LabeledDataset
    from levit.training.train import Run


def print_run(run: Run, *, as_json: bool) -> None:
    """Print the result on standard output, and for a complete run files and commands on standard error."""
    from levit.cli.json_output import print_json
    from levit.training.progress_display import print_line
    from levit.training.run_state import has_state

    if as_json:
        names = ("is_complete", "stopped_early", "metric", "best", "best_epoch", "epochs")
        print_json({"run": str(run.folder)} | {name: getattr(run, name) for name in names})
    elif run.is_complete:
        typer.echo(": ".join([str(run.folder), *describe_accuracy(run)]))
    if run.is_complete:
        for line in [*list_files(run.folder), *next_commands(run)]:
            print_line(line)
    elif has_state(run.folder):
        print_line(f"stopped and saved: the same command with --resume continues {run.folder}")
    else:
        print_line(f"stopped before a state was saved: the same command with --resume starts {run.folder} again")


def describe_accuracy(run: Run) -> list[str]:
    """Accuracy on the validation images: that of the evaluation, or of the best epoch; empty without either.

    They differ in a few images, because the training prepares images exactly and the evaluation as predictions do.
    """
    if (accuracy := validation_accuracy(run.folder)) is not None:
        return [" ".join(accuracy)]
    if run.best is None:
        return []
    value = f"{run.best:.4f}" if run.metric == "loss" else f"{100 * run.best:.2f} %"
    return [f"{run.metric} {value} in epoch {run.best_epoch}"]


def list_files(run: Path) -> list[str]:
    """A line with the files about the validation images; empty without an evaluation."""
    report, mistakes = run / "evaluation" / "report.html", run / "evaluation" / "mistakes.csv"
    if not report.exists():
        return []
    named = f"mistakes: {mistakes}; " if mistakes.exists() else ""  # images with several labels have no such table
    return [f"report: {report}; {named}validation images: {run / 'val_files.csv'}"]


def validation_accuracy(run: Path) -> tuple[str, str] | None:
    """Metric and value of the accuracy of a run on its validation images; None without an evaluation.

    It is the top-1 accuracy with its interval, or the mean average precision where images have any number of labels.
    """
    try:
        metrics = json.loads((run / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
        images = f"of {int(metrics['images']['evaluated']):,} validation images"
        if "top1" not in metrics:
            return "mean average precision", f"{100 * float(metrics['mean_average_precision']):.2f} % {images}"
        value, low, high = (100 * float(metrics["top1"][name]) for name in ("value", "low", "high"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return "top-1", f"{value:.2f} % (95 % interval {low:.2f} to {high:.2f}) {images}"


def next_commands(run: Run) -> list[str]:
    """Commands that use the model of a run, as text to copy.

    A network of timm is a teacher; the other commands are for LeViTs.
    """
    from levit.data.file_list import FileListDataset

    folder, data = shlex.quote(str(run.folder)), shlex.quote(run.data)
    if _is_timm(run.folder):
        separate = "" if run.validation in (None, run.data) else f" --val {shlex.quote(str(run.validation))}"
        return ["next:", f"  levit train {data}{separate} --model levit-256 --teacher {folder}"]
    splits = _find_splits(run.data)
    evaluated = None if run.validation is None else shlex.quote(run.validation)
    if "test" in splits:
        evaluated = f"{data} --split test"
    elif run.validation == run.data:
        evaluated = f"{data} --split validation"
    commands = []
    if isinstance(splits.get("train", splits.get("all")), FileListDataset):
        commands.append(f"levit predict {data} --model {folder} --gallery {shlex.quote(f'{run.folder.name}.html')}")
        if evaluated is None:
            evaluated = shlex.quote(f"{Path(run.data).name}-split")
            divided = f"{data} --split train" if "train" in splits else data
            listed = shlex.quote(str(run.folder / "val_files.csv"))
            commands.append(f"levit split {divided} --test-files {listed} --out {evaluated}")
    if evaluated is not None:
        commands.append(f"levit evaluate {folder} {evaluated}")
    commands.append(f"levit export {folder} {shlex.quote(f'{run.folder.name}.onnx')}")
    commands.append(f"levit serve {folder}")
    return ["next:", *(f"  {command}" for command in commands)]


def _is_timm(run: Path) -> bool:
    """Whether a run trained a network of timm."""
    from levit.checkpoints.json_files import read_json
    from levit.checkpoints.timm_configuration import is_timm

    return is_timm(read_json(run / "config.json"))


def _find_splits(data: str) -> Mapping[str, LabeledDataset]:
    """Splits of the data in a folder, "all" without splits; none in archives, which would have to be read."""
    from levit.data.open_data import open_splits
    from levit.errors import LevitError, LevitWarning

    folder = Path(data)
    if not folder.is_dir() or any(folder.glob("*.tar")):
        return {}
    with suppress(LevitError, ImportError), warnings.catch_warnings():
        warnings.simplefilter("ignore", LevitWarning)  # those of the training data were issued at its beginning
        return open_splits(folder)
    return {}
