"""Model cards of a run: written after each epoch, and never over a card that the user changed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import timm
import torch
import transformers
from accelerate import Accelerator

import levit
from levit.files import write_text
from levit.model.config import LevitConfig
from levit.model.pretrained import LevitPreTrainedModel
from levit.training.callbacks import Callback
from levit.training.card_sources import describe_data, find_base_model, public_name, read_base_model
from levit.training.checkpointer import AVERAGE
from levit.training.datasets import count_labels
from levit.training.model_card import CardFacts, CardWeights, code, write_model_card
from levit.training.options import TrainingOptions
from levit.training.progress import EMA_PREFIX, Progress
from levit.training.progress_display import print_line
from levit.training.run_data import RunData
from levit.training.run_state import checkpoint_errors, has_state
from levit.training.student import Student

CARD_FILE = "README.md"

_MARK = re.compile(r"<!-- Written by levit train until it is changed by hand: ([0-9a-f]{64}) -->\n\Z")


class ModelCardWriter(Callback):
    """Writes `README.md` into the run directory and into `ema/`; for the first process.

    The cards are functions of the saved progress, so that a run which was killed before it wrote them does so when it
    is resumed. The last line of a card contains a hash of the lines before it: a card whose hash differs, or that has
    none, is the user's and stays as it is.

    Args:
        run: the run directory.
        facts: what the cards say about the run.
    """

    def __init__(self, run: Path, facts: CardFacts) -> None:
        self._run, self._facts = run, facts
        self._num_written = 0
        self._kept: set[Path] = set()

    def on_checkpoint(self, progress: Progress) -> None:
        """Write the cards where an epoch was added.

        Raises:
            CheckpointError: they cannot be written.
        """
        epoch = len(progress.history)
        if epoch == self._num_written:
            return
        is_complete = progress.is_complete(self._facts.options.schedule.total_epochs)
        with checkpoint_errors(self._run):
            if progress.best_epoch:
                best = CardWeights(
                    epoch=progress.best_epoch, kind=progress.best_weights or "network", is_best=True,
                    history=progress.history, is_complete=is_complete, num_classes=len(self._facts.classes),
                )  # fmt: skip
                self._write(self._run / CARD_FILE, best)
            if EMA_PREFIX + "loss" in progress.history[-1]:
                average = CardWeights(
                    epoch=epoch, kind="average", is_best=False, history=progress.history, is_complete=is_complete,
                    num_classes=len(self._facts.classes),
                )  # fmt: skip
                self._write(self._run / AVERAGE / CARD_FILE, average)
        self._num_written = epoch

    def _write(self, file: Path, weights: CardWeights) -> None:
        if not write_card(file, write_model_card(self._facts, weights)) and file not in self._kept:
            self._kept.add(file)
            print_line(f"{file} was changed by hand, and stays as it is")


def write_card(file: Path, text: str) -> bool:
    """Write a model card with its hash, unless the file there is another one or was changed.

    Args:
        file: the file.
        text: the card.

    Returns:
        Whether it was written, or has this content already.
    """
    if file.exists() and not is_written_by_levit(file):
        return False
    write_text(file, f"{text}\n<!-- Written by levit train until it is changed by hand: {_hash(text)} -->\n")
    return True


def is_written_by_levit(file: Path) -> bool:
    """Return whether a model card is one of this package, without changes."""
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    match = _MARK.search(content)
    return match is not None and _hash(content[: match.start() - 1]) == match[1]


def collect_facts(
    options: TrainingOptions, student: Student, images: RunData, accelerator: Accelerator, *, has_validation_set: bool
) -> CardFacts:
    """What a model card says about a run.

    Args:
        options: options of the run, without open choices.
        student: the network.
        images: the training and validation images.
        accelerator: devices and processes.
        has_validation_set: whether the validation images are a set of their own.
    """
    base_model, license_name = _find_base_model(options)
    config = getattr(student.network, "config", None)
    unlabeled, outliers = images.train.num_unlabeled, images.train.num_outliers
    return CardFacts(
        options=options, name=Path(options.run.out).resolve().name, classes=student.classes,
        counts=tuple(count_labels(images.train).tolist()), num_training=len(images.train) - unlabeled - outliers,
        num_unlabeled=unlabeled, num_outliers=outliers, num_validation=len(images.validation),
        data=describe_data(options.data.data),
        validation=_describe_validation(options, has_validation_set=has_validation_set),
        is_multi_label=student.is_multi_label, is_levit=isinstance(student.network, LevitPreTrainedModel),
        is_stock=isinstance(config, LevitConfig) and config.is_stock(),
        parameters=sum(parameter.numel() for parameter in student.network.parameters()),
        image_size=student.image_size, versions=_versions(),
        hardware=f"{accelerator.num_processes} x {accelerator.device.type} in {options.run.precision}",
        base_model=base_model, license=license_name,
    )  # fmt: skip


def _find_base_model(options: TrainingOptions) -> tuple[str | None, str | None]:
    """Base model and license; those of a resumed run are in its card, because the initial weights may be gone."""
    run = Path(options.run.out)
    if has_state(run):
        for card in (run / CARD_FILE, run / AVERAGE / CARD_FILE):
            if is_written_by_levit(card):
                return read_base_model(card)
    return find_base_model(options.model)


def _describe_validation(options: TrainingOptions, *, has_validation_set: bool) -> str:
    if options.data.val is not None:
        return code(public_name(options.data.val))
    if has_validation_set:
        return "its validation split"
    return f"{100 * options.data.val_share:g} % of the images of every class, chosen with seed {options.run.seed}"


def _versions() -> str:
    packages = (levit, torch, timm, transformers)
    return ", ".join(f"{package.__name__} {package.__version__}" for package in packages)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
