"""`levit.train`: a training run from its options to the files in its run directory."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from levit.errors import ConfigError, LevitWarning
from levit.files import remove
from levit.training.build_loop import build_training_loop
from levit.training.callbacks import Callback, check_callbacks
from levit.training.control_group import connection_errors, long_work
from levit.training.datasets import TrainingData, check_output_outside_data, open_training_data
from levit.training.determinism import deterministic_algorithms
from levit.training.environment import build_accelerator, choose_precision
from levit.training.failures import suggest_options
from levit.training.options import TrainingOptions
from levit.training.output_directory import lock_run_directory
from levit.training.run_options import complete_options, every_option, find_resumed_run, run_folder
from levit.training.run_state import drop_tensors
from levit.training.teacher_cache import TEACHER_LOGITS
from levit.training.worker_processes import check_main_process


@dataclass(frozen=True, kw_only=True)
class Run:
    """Result of a training run.

    Attributes:
        folder: the run directory.
        is_complete: whether the run ended by itself; otherwise a signal stopped it, and `resume` continues it.
        stopped_early: whether it ended before its last epoch, because none became better.
        metric: name of the metric that selects the best epoch: top1, top5, f1, map or loss.
        best: value of the metric in the best epoch: a fraction in [0, 1], or the validation loss (nats); None before
            the first epoch was validated.
        best_epoch: number of the best epoch, from 1, whose weights are in the run directory; with a moving average the
            last of the `best_window` epochs with the best mean; 0 before the first epoch was validated.
        epochs: number of completed epochs.
        data: path or name of the training set.
        validation: path or name of the validation set; None where it is a share of the training set.
        is_main: whether this is the first of the processes that train together, which reports for all of them.
    """

    folder: Path
    is_complete: bool
    stopped_early: bool
    metric: str
    best: float | None
    best_epoch: int
    epochs: int
    data: str
    validation: str | None
    is_main: bool


def train(
    data: str | PathLike[str] | TrainingOptions | None = None,
    /,
    *,
    callbacks: Sequence[Callback] = (),
    **values: Any,
) -> Run:
    """Train or fine-tune a network.

    The run directory then contains `model.safetensors`, `config.json` and `preprocessor_config.json` of the best epoch,
    which transformers reads; `README.md`, its model card; `last/`, the last state, from which the run is resumed;
    `ema/`, the moving average of the weights, if there is one; `evaluation/`, the report on the validation images, and
    `val_files.csv`, their names; `results.csv`, `curves.png`, `args.yaml` and the files of the experiment tracker.

    Args:
        data: the training set, or options of the run. Options that are given as `TrainingOptions` are used as they are;
            otherwise those that `values` does not contain follow from the number of images; see
            `levit.training.automatic_settings`.
        callbacks: objects whose methods are called during the run; see `levit.Callback`.
        **values: values of some options, by name (the fields of the groups of `TrainingOptions`). Without `out` the run
            directory is the first of `runs/train`, `runs/train2`, … that does not exist.

    Raises:
        ConfigError: an option is invalid or does not fit the others, the run directory cannot be used, or a script with
            `workers` trains when it is imported.
        DataError: images or their classes cannot be used.
        CheckpointError: weights cannot be read or written.
        LevitError: the disk or the memory is too small, or the loss is not finite.
        ImportError: the experiment tracker is not installed.

    Examples:
        >>> import levit, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for color in ("red", "green"):
        ...         photos = Path(folder, "photos", color)
        ...         photos.mkdir(parents=True)
        ...         for width in (40, 50, 60):
        ...             Image.new("RGB", (width, 30), color).save(photos / f"{width}.png")
        ...     run = levit.train(
        ...         f"{folder}/photos", out=f"{folder}/run", model="levit-128s", from_scratch=True, image_size=32,
        ...         epochs=1, batch_size=4, workers=0, report_to="none",
        ...     )
        ...     levit.read_checkpoint(run.folder).labels
        ('green', 'red')
    """
    check_callbacks(callbacks)
    if isinstance(data, TrainingOptions):
        return run_training(data.with_values(**values), callbacks)
    if data is not None:
        if "data" in values:
            raise ConfigError("is given twice", source="data", hint="give it once")
        values["data"] = data
    return run_training(values, callbacks, given=frozenset(values))


def run_training(
    values: TrainingOptions | Mapping[str, Any],
    callbacks: Sequence[Callback] = (),
    *,
    given: Collection[str] | None = None,
) -> Run:
    """Train as `train` does, with options by name or in groups.

    Args:
        values: options of the run, or values of some of them by name.
        callbacks: as in `train`.
        given: names of the options whose values are used as they are; None for all that `values` contains. The others
            follow from the number of images, from the hub and from a resumed run.
    """
    check_main_process()
    if isinstance(values, TrainingOptions):
        given, values = every_option(values) if given is None else given, values.to_flat()
    options, given = find_resumed_run(values, values if given is None else given)
    accelerator = build_accelerator(replace(options.run, precision=choose_precision(options.run.precision)))
    with warnings.catch_warnings():
        if not accelerator.is_main_process:  # the first one warns for all
            warnings.simplefilter("ignore", LevitWarning)
        with long_work(accelerator):  # which may download images
            data = open_training_data(options.data, keeps_unlabeled=options.teacher.uses_unlabeled)
        with run_folder(options, accelerator) as options:
            accelerator.project_configuration.logging_dir = options.run.out  # of the tracker
            check_output_outside_data(data, Path(options.run.out))
            return _train_on(data, complete_options(options, given, data, accelerator), callbacks, accelerator)


def _train_on(
    data: TrainingData, options: TrainingOptions, callbacks: Sequence[Callback], accelerator: Accelerator
) -> Run:
    """Train on opened data, with options without open choices."""
    with connection_errors(), lock_run_directory(options) if accelerator.is_main_process else nullcontext():
        loop = build_training_loop(options, data, accelerator, callbacks)
        microbatch_size, device = loop.sampler.microbatch_size, accelerator.device
        with deterministic_algorithms(device), suggest_options(options, microbatch_size, device):
            is_complete = loop.run()
        if is_complete and accelerator.is_main_process:
            if not options.run.keep_state:
                drop_tensors(Path(options.run.out), loop.checkpointer.fingerprint, loop.progress)
            remove(Path(options.run.out, TEACHER_LOGITS))
    progress = loop.progress
    return Run(
        folder=Path(options.run.out), is_complete=is_complete, stopped_early=loop.stopped_early,
        metric=options.run.metric, best=progress.best, best_epoch=progress.best_epoch, epochs=progress.epoch,
        data=options.data.data,
        validation=None if data.validation is None else options.data.val or options.data.data,
        is_main=accelerator.is_main_process,
    )  # fmt: skip
