"""A whole run: look before it begins, put it together, learn, and leave a folder that others read."""

from __future__ import annotations

import atexit
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import InitProcessGroupKwargs
from numpy.typing import NDArray
from timm.data import Mixup
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import nn

from levit.errors import ConfigError, LevitWarning
from levit.model.torch_engine import has_bfloat16
from levit.training.augmentation import Augmentation, EvaluationTransform
from levit.training.checkpointer import LAST, Basis, Progress, has_state, load_state
from levit.training.data_loader import ImageDataset, choose_num_workers
from levit.training.datasets import (
    IMAGE_COPIES,
    TrainingData,
    check_output_outside_data,
    count_labels,
    hash_images,
    index_training_data,
    open_training_data,
)
from levit.training.determinism import derive_seed, deterministic_algorithms
from levit.training.indexed_images import IndexedImages, estimate_copy_bytes, needs_copy
from levit.training.loop import Trainer
from levit.training.losses import Loss, balanced_label_weights, balanced_weights
from levit.training.optimizer import build_optimizer, build_schedule, freeze
from levit.training.options import TrainingOptions
from levit.training.output_directory import check_basis, check_space, held_folder, write_arguments
from levit.training.progress_display import Display, tell
from levit.training.sampler import DeterministicSampler
from levit.training.student import Student, build_student
from levit.training.teacher import hash_teacher, open_teachers
from levit.training.worker_processes import check_main_process


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of a run.

    Attributes:
        folder: of the run.
        is_complete: whether it came to its end; otherwise `--resume` goes on with it.
        stopped_early: whether that was before its last epoch, because none became better.
        metric: what the best epoch is best by, and best its value there.
        best_epoch: from 1; 0 where none was judged.
        epochs: how many were learned.
        is_main: whether this is the process that speaks for all of them.
    """

    folder: Path
    is_complete: bool
    stopped_early: bool
    metric: str
    best: float | None
    best_epoch: int
    epochs: int
    is_main: bool


def train(options: TrainingOptions | None = None, /, **values: Any) -> Run:
    """Train as the options say.

    The folder then has `model.safetensors`, `config.json` and `preprocessor_config.json` of the best epoch, which
    transformers reads; `last/`, the last state, from which to go on; `ema/`, the moving average; `results.csv`,
    `args.yaml`, `curves.png`, and TensorBoard's files.

    Args:
        options: all that can be said of a run; or, instead of them or to change some of them, each by its name.
        **values: those.

    Raises:
        ConfigError: options do not go together, the folder cannot be used, or a script that uses `workers` trains when
            it is imported.
        DataError: the images or their classes cannot be used.
        CheckpointError: weights cannot be read or written.
        LevitError: there is no room for the run, or the loss is no number any more.

    Examples:
        >>> import levit, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for color in ("red", "green", "red", "green", "red", "green"):
        ...         photos = Path(folder, "photos", color)
        ...         photos.mkdir(parents=True, exist_ok=True)
        ...         Image.new("RGB", (40, 30), color).save(photos / f"{len(list(photos.iterdir()))}.png")
        ...     run = levit.train(
        ...         data=f"{folder}/photos", out=f"{folder}/run", model="levit-128s", from_scratch=True, image_size=32,
        ...         epochs=1, batch_size=4, workers=0, report_to="none",
        ...     )
        ...     levit.read_checkpoint(run.folder).labels
        ('green', 'red')
    """
    check_main_process()
    options = TrainingOptions.from_flat(**values) if options is None else options.with_values(**values)
    for name in ("data", "out"):
        if not options.to_flat()[name]:
            raise ConfigError("is missing", source=name, hint=f"give train({name}=…)")
    sources = open_training_data(options)
    check_output_outside_data(sources, Path(options.run.out))
    options = _decide(options, is_multi_label=sources.learned.is_multi_label)
    accelerator = _accelerate(options)
    with held_folder(options) if accelerator.is_main_process else nullcontext():
        trainer = _begin(options, sources, accelerator)
        _open_trackers(options, accelerator, trainer.progress)
        with deterministic_algorithms(accelerator.device):
            is_complete = trainer.run()
        for tracker in accelerator.trackers:
            tracker.finish()
    return Run(
        folder=Path(options.run.out),
        is_complete=is_complete,
        stopped_early=trainer.stopped_early,
        metric=options.run.metric,
        best=trainer.progress.best,
        best_epoch=max(0, trainer.progress.best_epoch),
        epochs=trainer.progress.epoch,
        is_main=accelerator.is_main_process,
    )


def _begin(options: TrainingOptions, sources: TrainingData, accelerator: Accelerator) -> Trainer:
    """Look whether the run is possible, put it together, and load what is there to go on from."""
    run = Path(options.run.out)
    accelerator.wait_for_everyone()  # until there is a folder
    torch.manual_seed(derive_seed(options.run.seed, "weights"))
    # What a run once began with may be gone, or have learned since.
    last = options.with_values(model=str(run / LAST), from_scratch=False, patch_size=None)
    start = last if has_state(run) else options
    student = build_student(start, sources.learned.classes, is_multi_label=sources.learned.is_multi_label)
    _check_size(student)
    teacher = _open_teacher(options, student)
    weights = sum(tensor.nbytes for tensor in student.network.state_dict().values())
    check_space(run, weights, sum(estimate_copy_bytes(part) for part in sources if part is not None))
    copied = [part.name for part in sources if part is not None and needs_copy(part)]
    if copied and accelerator.is_main_process:
        tell(f"{' and '.join(copied)}: copying the images into {run / IMAGE_COPIES}")
    with accelerator.main_process_first():
        learned, judged = index_training_data(sources, options, student.classes, writes=accelerator.is_main_process)
    trainer = _assemble(options, accelerator, student, teacher, learned, judged)
    announcement, going_on = _announce(trainer, learned, judged), ""
    if (saved := load_state(run)) is not None:
        basis, progress, tensors = saved
        check_basis(basis, trainer.basis, options)
        trainer.load(progress, tensors)
        is_over = progress.is_over or progress.epoch >= options.schedule.epochs + options.schedule.cooldown_epochs
        going_on = f"; goes on in epoch {progress.epoch + 1} after {progress.step} steps"
        going_on = f"; was complete after epoch {progress.epoch}" if is_over else going_on
    if accelerator.is_main_process:
        write_arguments(options, announcement)
    trainer.display.say(announcement + going_on)
    return trainer


@cache
def _leave_at_exit() -> None:
    """Processes that train together stay connected until they end: a script may train more than once."""
    atexit.register(PartialState().destroy_process_group)


def _accelerate(options: TrainingOptions) -> Accelerator:
    AcceleratorState._reset_state()  # of an earlier run in this process, with another precision
    log = None if options.run.report_to == "none" else options.run.report_to
    if log is not None and find_spec(log) is None:
        raise ImportError(f"--report-to {log}: it is not installed: pip install {log}")
    patience = InitProcessGroupKwargs(timeout=timedelta(hours=6))  # with the one that copies millions of images
    accelerator = Accelerator(
        kwargs_handlers=[patience],
        cpu=not torch.accelerator.is_available(),  # or several processes do not find each other
        mixed_precision={"fp32": "no"}.get(options.run.precision, options.run.precision),
        log_with=log,
        project_dir=options.run.out,
    )
    if accelerator.num_processes > 1:
        _leave_at_exit()
    return accelerator


def _decide(options: TrainingOptions, *, is_multi_label: bool) -> TrainingOptions:
    """What was left open, decided: images with several labels have no top-1, and not all hardware has bf16."""
    metric = options.run.metric
    if is_multi_label and metric in ("top1", "top5"):
        metric = "map"
    elif not is_multi_label and metric == "map":
        raise ConfigError("--metric map is for images with several labels: use top1")
    precision = _native_precision() if options.run.precision == "auto" else options.run.precision
    if precision == "fp16" and not torch.accelerator.is_available():
        raise ConfigError("--precision fp16 is for GPUs, and there is none: use bf16 or fp32")
    return options.with_values(
        metric=metric, precision=precision, teacher=options.teacher.teacher if options.teacher.has_teacher else None
    )


def _native_precision() -> str:
    """bf16 where the hardware computes it natively."""
    is_cuda = torch.cuda.is_available()
    if has_bfloat16(torch.device("cuda" if is_cuda else "cpu")):
        return "bf16"
    return "fp16" if is_cuda else "fp32"


def _check_size(student: Student) -> None:
    """Raise unless the network takes images of its size, before hours are spent on preparing them."""
    height, width = student.image_size
    network = student.network
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, height, width))
    except (AssertionError, RuntimeError) as error:  # the first is timm's
        raise ConfigError(
            f"--image-size {height}: the network cannot take it ({str(error).splitlines()[0]})"
        ) from error
    network.train(was_training)


def _open_teacher(options: TrainingOptions, student: Student) -> nn.Module | None:
    if not options.teacher.has_teacher:
        return None
    return open_teachers(str(options.teacher.teacher), student.classes, student.preprocessing)


def _assemble(
    options: TrainingOptions,
    accelerator: Accelerator,
    student: Student,
    teacher: nn.Module | None,
    learned: IndexedImages,
    judged: IndexedImages,
) -> Trainer:
    order = _order(options, accelerator, len(learned))
    freeze(student.network, options)
    network: nn.Module = student.network
    if options.model.sync_bn and accelerator.device.type == "cuda":
        network = convert_sync_batchnorm(network)  # timm's, which keeps the activations of its own batch norms
    # A step is about a tenth faster on CPUs when the channels of a pixel lie together.
    network = network.to(accelerator.device).to(memory_format=torch.channels_last)
    average = ModelEmaV3(network, decay=options.optimizer.ema) if options.optimizer.ema else None
    optimizer = build_optimizer(network, options)
    schedule = build_schedule(optimizer, options, order.steps_per_epoch)
    prepared, optimizer = accelerator.prepare(torch.compile(network) if options.run.compile else network, optimizer)
    loss = Loss(
        label_smoothing=options.optimizer.label_smoothing, weights=_weigh(options, learned),
        is_multi_label=student.is_multi_label, kind=options.teacher.distillation, alpha=options.teacher.alpha, tau=options.teacher.tau,
    )  # fmt: skip
    basis = Basis(
        images=hash_images(learned, judged), teacher=hash_teacher(teacher), step_size=order.step_size,
        processes=accelerator.num_processes,
    )  # fmt: skip
    epochs = options.schedule.epochs + options.schedule.cooldown_epochs
    fails = options.data.on_bad_image == "fail"
    plain = EvaluationTransform(student.preprocessing)
    augmentation = Augmentation(options, student.preprocessing, student.image_size)
    return Trainer(
        options=options,
        accelerator=accelerator,
        student=student,
        network=prepared,
        optimizer=optimizer,
        schedule=schedule,
        teacher=None if teacher is None else teacher.to(accelerator.device).to(memory_format=torch.channels_last),
        average=average,
        loss=loss.to(accelerator.device),
        mixup=_mixup(options, len(student.classes)),
        order=order,
        learned=ImageDataset(learned, augmentation, fails=fails, substitutes=True),
        judged=ImageDataset(judged, plain, fails=fails, substitutes=False),
        count_judged=len(judged),
        workers=choose_num_workers(options, accelerator.num_processes, on_cpu=accelerator.device.type == "cpu"),
        basis=basis,
        progress=Progress(),
        display=Display(epochs=epochs, steps=order.steps_per_epoch, shows=accelerator.is_main_process),
    )


def _weigh(options: TrainingOptions, learned: IndexedImages) -> NDArray[np.float32] | None:
    if options.optimizer.class_weights == "none":
        return None
    counts = count_labels(learned)
    return balanced_label_weights(counts, len(learned)) if learned.is_multi_label else balanced_weights(counts)


def _order(options: TrainingOptions, accelerator: Accelerator, images: int) -> DeterministicSampler:
    order = DeterministicSampler(
        num_images=images, batch_size=options.optimizer.batch_size,
        num_microbatches=accelerator.num_processes * options.optimizer.accumulate, seed=options.run.seed, repeats=options.augmentation.repeats,
    )  # fmt: skip
    if order.step_size != options.optimizer.batch_size and accelerator.is_main_process:
        reason = (
            f"there are {images} to learn from" if images < options.optimizer.batch_size else "parts are of whole pairs"
        )
        parts = f", {order.num_microbatches} parts of {order.microbatch_size}" if order.num_microbatches > 1 else ""
        text = (
            f"--batch-size {options.optimizer.batch_size}: {order.step_size} images in a step{parts}, because {reason}"
        )
        warnings.warn(text, LevitWarning, stacklevel=2)
    return order


def _mixup(options: TrainingOptions, classes: int) -> Mixup | None:
    if not options.augmentation.mixup and not options.augmentation.cutmix:
        return None
    # Targets are mixed as they are, and smoothed by the loss.
    return Mixup(
        mixup_alpha=options.augmentation.mixup, cutmix_alpha=options.augmentation.cutmix, prob=options.augmentation.mix_share, label_smoothing=0.0,
        num_classes=classes, multi_label=True,
    )  # fmt: skip


def _announce(trainer: Trainer, learned: IndexedImages, judged: IndexedImages) -> str:
    count = sum(parameter.numel() for parameter in trainer.network.parameters())
    height, width = trainer.student.image_size
    teacher = f", taught by {trainer.options.teacher.teacher}" if trainer.teacher is not None else ""
    return (
        f"{trainer.options.model.model}, {count / 1e6:.1f} million parameters, {height}x{width}{teacher}: {len(learned):,} "
        f"images of {len(trainer.student.classes)} classes to learn from, {len(judged):,} to choose by, on "
        f"{trainer.accelerator.num_processes} x {trainer.accelerator.device.type} in {trainer.options.run.precision}"
    )


def _open_trackers(options: TrainingOptions, accelerator: Accelerator, progress: Progress) -> None:
    if options.run.report_to == "none":
        return
    if options.run.report_to == "tensorboard":  # in a folder of that name
        # What an interrupted process logged after its last saved epoch is logged again.
        purged = {"tensorboard": {"purge_step": progress.epoch + 1}}
        accelerator.init_trackers("tensorboard", init_kwargs=purged)  # the options are in args.yaml
        return
    config = {name: value for name, value in options.to_flat().items() if isinstance(value, bool | int | float | str)}
    accelerator.init_trackers("levit", config)
