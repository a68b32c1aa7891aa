"""Options of a run: those that are given, and for the others what follows from the data, the hub and a resumed run."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from levit.data.file_list import FileListDataset
from levit.data.labeled_images import LabeledDataset
from levit.errors import ConfigError
from levit.spec.variants import ALL_VARIANTS
from levit.training.automatic_settings import MANY_IMAGES, automatic_settings, describe_settings
from levit.training.collectives import broadcast_text
from levit.training.control_group import long_work
from levit.training.datasets import TrainingData
from levit.training.environment import choose_precision, connect_processes
from levit.training.indexed_images import no_label_error
from levit.training.initial_weights import choose_initial_weights
from levit.training.option_groups import DataOptions, RunOptions
from levit.training.options import TrainingOptions, option_defaults
from levit.training.output_directory import ARGUMENTS_FILE
from levit.training.progress_display import print_line
from levit.training.recipe import read_recipe
from levit.training.run_folders import find_incomplete_run, new_run_folder
from levit.training.timm_networks import is_timm_network
from levit.training.unused_options import without_overridden
from levit.training.worker_count import processes_on_machine


def find_resumed_run(values: Mapping[str, Any], given: Collection[str]) -> tuple[TrainingOptions, Collection[str]]:
    """Find the run that `resume` continues, and take the options that are not given from it.

    Options are checked together with those of the run: one may have an effect only beside them. Processes that train
    together take the run that the first one finds.

    Args:
        values: values of some options, by name; without `out` the last incomplete run of the same data is resumed.
        given: names of the options that are given; those without a value have their defaults.

    Returns:
        The options, and the names of those that are given: in a resumed run all of them.

    Raises:
        ConfigError: an option is invalid, there is no training set, neither given nor in a resumed run, or the training
            set is a run.
        LevitError: another process has ended, or does not respond.
    """
    run = RunOptions(**{name: values[name] for name in ("out", "resume") if name in values})
    data = DataOptions(data=values.get("data", "")).data
    if data and os.path.isfile(os.path.join(data, ARGUMENTS_FILE)):  # noqa: PTH113, PTH118  # no error for any name
        hint = "give it as `out` with `resume` to continue it, or as `model` to start from its weights"
        raise ConfigError(f"is {data}, a run", source="data", hint=hint)
    out = run.out
    if run.resume and not out:
        processes = connect_processes()  # only one tries the locks of runs, which the others would find locked
        out = broadcast_text(str(find_incomplete_run(data) or "") if processes.is_main_process else "", processes)
        if not out and not data:
            hint = "give its run directory as `out`"
            raise ConfigError("is given, and no run in runs/ is incomplete", source="resume", hint=hint)
    arguments = Path(out, ARGUMENTS_FILE)
    if run.resume and out and arguments.is_file():
        chosen = {name: value for name, value in {**option_defaults(), **values}.items() if name in given}
        options = TrainingOptions.from_flat(**read_recipe(arguments) | chosen | {"out": out, "resume": True})
        given = every_option(options)
    else:
        options = TrainingOptions.from_flat(**{**values, "out": out})
    if not options.data.data:
        raise ConfigError("is missing", source="data", hint="give train(data=…)")
    return options, given


@contextmanager
def run_folder(options: TrainingOptions, accelerator: Accelerator) -> Iterator[TrainingOptions]:
    """Options with a run directory: a new one in `runs`, where none is given."""
    if options.run.out:
        yield options
    elif accelerator.is_main_process:
        with new_run_folder() as folder:
            yield options.with_values(out=broadcast_text(str(folder), accelerator))
    else:
        yield options.with_values(out=broadcast_text("", accelerator))


def complete_options(
    options: TrainingOptions, given: Collection[str], data: TrainingData, accelerator: Accelerator
) -> TrainingOptions:
    """Choose what is not given: initial weights, settings by the number of images, the metric and the precision.

    A line says what was chosen.

    Args:
        options: options of the run.
        given: names of the options that are given.
        data: training and validation set.
        accelerator: the processes; the first one asks the hub.

    Raises:
        ConfigError: the metric is not defined for the labels of the data, the hardware lacks the precision, or the
            logits of a teacher are to be kept on several machines.
    """
    options = _choose_model(options, given, accelerator)
    _check_machines(options, accelerator)
    num_images, num_validation = count_images(data, options)
    settings = automatic_settings(
        options, given, num_images=num_images, num_validation_images=num_validation,
        is_levit=not is_timm_network(options.model.model), is_multi_label=data.train.is_multi_label,
    )  # fmt: skip
    values = options.to_flat() | settings
    settings = without_overridden(settings, given, values, option_defaults())
    if settings and accelerator.is_main_process:
        print_line(f"settings by the number of training images: {describe_settings(settings)}")
    values = options.to_flat() | settings
    values["metric"] = _choose_metric(options, is_multi_label=data.train.is_multi_label)
    values["precision"] = choose_precision(options.run.precision)
    values["teacher"] = options.teacher.teacher if options.teacher.has_teacher else None
    return TrainingOptions.from_flat(**values)


def count_images(data: TrainingData, options: TrainingOptions) -> tuple[int, int]:
    """Number of training and of validation images, about: before the images of each class are counted.

    A share for validation is at least one image of every class, and leaves every class one. Images without a label are
    trained on with the loss of a teacher only.

    Raises:
        DataError: no image has a label.
    """
    num_labeled = _count_labeled(data.train)
    if not num_labeled:
        raise no_label_error(data.train)
    num_training = num_labeled + _length(data.outliers)
    if options.teacher.uses_unlabeled:
        num_training += len(data.train) - num_labeled + _length(data.unlabeled)
    if data.validation is not None:
        return num_training, len(data.validation)
    num_validation, num_classes = round(options.data.val_share * num_labeled), len(data.train.classes)
    most = num_labeled - (1 if data.train.is_multi_label else num_classes)
    if options.data.val_share and not data.train.is_multi_label:
        num_validation = max(num_validation, num_classes)
    num_validation = max(0, min(num_validation, most))
    return num_training - num_validation, num_validation


def _count_labeled(data: LabeledDataset) -> int:
    """Number of images with a label; of many images in other files that of all, because counting would read them."""
    if data.is_multi_label:  # an image may show none of the classes
        return len(data)
    if isinstance(data, FileListDataset):
        return sum(bool(data.files.labels(index)) for index in range(len(data)))
    return sum(bool(item.labels) for item in data) if len(data) < MANY_IMAGES else len(data)


def _length(data: LabeledDataset | None) -> int:
    return 0 if data is None else len(data)


def _check_machines(options: TrainingOptions, accelerator: Accelerator) -> None:
    """Raise an error if the logits of a teacher are to be kept in one file of several machines."""
    num_processes = accelerator.num_processes
    if options.teacher.teacher_views and processes_on_machine(num_processes) < num_processes:
        reason = f"is {options.teacher.teacher_views}, and the processes run on several machines"
        raise ConfigError(reason, source="teacher_views", hint="leave out `teacher_views`")


def _choose_model(options: TrainingOptions, given: Collection[str], accelerator: Accelerator) -> TrainingOptions:
    if "model" in given or options.model.from_scratch or options.model.model not in ALL_VARIANTS:
        return options
    with long_work(accelerator):  # which may download weights
        chosen = choose_initial_weights(options.model.model) if accelerator.is_main_process else ""
    model = broadcast_text(chosen, accelerator)
    if model != options.model.model and accelerator.is_main_process:
        text = (
            f"the weights of {options.model.model} cannot be downloaded: the training starts from those in the package"
        )
        print_line(f"{text} (model {model})")
    return options.with_values(model=model)


def _choose_metric(options: TrainingOptions, *, is_multi_label: bool) -> str:
    metric = options.run.metric
    if is_multi_label and metric in ("top1", "top5"):
        return "map"
    if not is_multi_label and metric == "map":
        raise ConfigError("is map, which is for several labels per image", source="metric", hint="use top1")
    return metric


def every_option(options: TrainingOptions) -> frozenset[str]:
    """Names of all options but the run directory and the training set where they are empty."""
    values: dict[str, Any] = options.to_flat()
    return frozenset(name for name, value in values.items() if name not in ("data", "out") or value)
