"""Set-up of a run: networks, data, saved state and callbacks, assembled into the training loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from timm.data import Mixup
from torch import nn

from levit.errors import ConfigError, first_line
from levit.training.automatic_settings import FEW_VALIDATION_IMAGES
from levit.training.callbacks import Callback, CallbackList
from levit.training.checkpointer import Checkpointer
from levit.training.collectives import broadcast_network
from levit.training.control_group import long_work, wait_for_all
from levit.training.datasets import TrainingData, hash_images
from levit.training.determinism import derive_seed
from levit.training.head_autoencoders import find_head_autoencoders
from levit.training.linear_probe import start_heads
from levit.training.loop import TrainingLoop
from levit.training.losses import Loss
from levit.training.microbatches import MicrobatchPreparation
from levit.training.model_card import CardFacts
from levit.training.model_card_writer import ModelCardWriter, collect_facts
from levit.training.model_state import build_model_state
from levit.training.options import TrainingOptions
from levit.training.output_directory import write_arguments
from levit.training.progress_display import ProgressDisplay, print_line
from levit.training.results_table import ResultsTable
from levit.training.resuming import restore_state
from levit.training.run_data import RunData, build_loaders, compute_class_weights, prepare_data
from levit.training.run_report import RunReporter
from levit.training.run_state import LAST, Fingerprint, has_state
from levit.training.step import TrainingStep
from levit.training.student import Student, build_student
from levit.training.teacher_cache import CachedTeacher, CacheShape, NetworkTeacher, create_cache_file
from levit.training.teacher_opening import choose_classes, hash_teachers, load_teachers, open_teacher_of_run
from levit.training.teacher_process import TeacherProcess
from levit.training.trackers import Tracker
from levit.training.validation import Validator


def build_training_loop(
    options: TrainingOptions, data: TrainingData, accelerator: Accelerator, callbacks: Sequence[Callback] = ()
) -> TrainingLoop:
    """Build the training loop of a run, with its saved state restored, and write the options of the run.

    Args:
        options: options of the run, with automatic values resolved.
        data: training and validation set.
        accelerator: device, precision and processes.
        callbacks: called after the built-in ones.

    Raises:
        ConfigError: options do not fit the network, the images or each other, or the run cannot be resumed with them.
        DataError: images or classes cannot be used.
        CheckpointError: weights cannot be read or written.
        LevitError: the disk has too little space.
    """
    wait_for_all(accelerator)  # until the first process has created the run directory
    with long_work(accelerator):  # which may download weights
        teachers = load_teachers(options.teacher)
        student = _build_student(options, data, choose_classes(teachers, options.teacher, data.train))
        teacher = open_teacher_of_run(
            teachers, options.teacher, student, device=accelerator.device, precision=options.run.precision,
            num_processes=accelerator.num_processes,
        )  # fmt: skip
    images = _prepare_images(options, data, student, accelerator)
    checkpointer = _build_checkpointer(options, student, hash_teachers(teachers), images, accelerator)
    progress = restore_state(checkpointer, options)
    source = _keep_logits(teacher, options, student, images, checkpointer.fingerprint, accelerator)
    batches, validation_batches = build_loaders(options, images, student, accelerator, progress)
    step = TrainingStep(
        model=checkpointer.model, accelerator=accelerator, options=options.optimizer, seed=options.run.seed,
        loss=_build_loss(options, student, images).to(accelerator.device),
        teacher=source if isinstance(source, nn.Module) else None,
        autoencoders=find_head_autoencoders(checkpointer.model.network),
    )  # fmt: skip
    preparation = _build_preparation(options, student, images, source, accelerator)
    validator = Validator(
        batches=validation_batches, accelerator=accelerator, num_classes=len(student.classes),
        is_multi_label=student.is_multi_label,
    )  # fmt: skip
    description = _describe(options, data, student, images, accelerator)
    facts = collect_facts(options, student, images, accelerator, has_validation_set=data.validation is not None)
    if accelerator.is_main_process:
        write_arguments(options, description)
    return TrainingLoop(
        accelerator=accelerator, step=step, preparation=preparation, batches=batches, sampler=images.sampler,
        validator=validator, checkpointer=checkpointer, progress=progress,
        callbacks=CallbackList([*_build_callbacks(options, description, images, accelerator, facts), *callbacks]),
        epochs=options.schedule.total_epochs, options=options.run,
    )  # fmt: skip


def _build_student(options: TrainingOptions, data: TrainingData, classes: Sequence[str]) -> Student:
    """Build the network that is trained.

    In a resumed run it is built from the last saved checkpoint, because the initial weights may no longer exist.

    Raises:
        ConfigError: the network does not take images of this size; checked here, before the images are prepared.
    """
    torch.manual_seed(derive_seed(options.run.seed, "weights"))
    last = Path(options.run.out) / LAST
    if has_state(Path(options.run.out)):
        options = options.with_values(model=str(last), from_scratch=False, patch_size=None, attention_mask=None)
    student = build_student(
        options.model, options.teacher, classes, crop=options.augmentation.crop,
        is_multi_label=data.train.is_multi_label,
    )  # fmt: skip
    height, width = student.image_size
    was_training = student.network.training
    try:
        with torch.no_grad():
            student.network.eval()(torch.zeros(1, 3, height, width))
    except (AssertionError, RuntimeError) as error:  # timm raises the first
        reason = f"is {height}x{width}, which the network does not take ({first_line(error)})"
        raise ConfigError(reason, source="image_size") from error
    student.network.train(was_training)
    return student


def _prepare_images(
    options: TrainingOptions, data: TrainingData, student: Student, accelerator: Accelerator
) -> RunData:
    """Index the images, on which new heads may start as a linear probe."""
    images = prepare_data(options, data, student, accelerator)
    if options.model.new_heads == "linear-probe" and student.has_new_heads:
        with long_work(accelerator):
            if accelerator.is_main_process:
                count = len(images.train) - images.train.num_unlabeled - images.train.num_outliers
                print_line(f"new heads: logistic regression of the features of {count:,} training images")
                start_heads(student, images.train)
        broadcast_network(student.network.to(accelerator.device), accelerator)
    return images


def _build_checkpointer(
    options: TrainingOptions,
    student: Student,
    teacher_hash: str,
    images: RunData,
    accelerator: Accelerator,
) -> Checkpointer:
    """Build the checkpointer, with the optimizer, schedule and weight average that it saves."""
    model = build_model_state(
        student.network, accelerator, steps_per_epoch=images.sampler.steps_per_epoch,
        compile_network=options.run.compile, model=options.model, optimizer=options.optimizer,
        schedule=options.schedule,
    )  # fmt: skip
    fingerprint = Fingerprint(
        images=hash_images(images.train, images.validation), teacher=teacher_hash,
        step_size=images.sampler.step_size, num_processes=accelerator.num_processes,
    )  # fmt: skip
    return Checkpointer(
        run=Path(options.run.out), accelerator=accelerator, student=student, model=model, fingerprint=fingerprint
    )


def _build_loss(options: TrainingOptions, student: Student, images: RunData) -> Loss:
    return Loss(
        label_smoothing=options.optimizer.label_smoothing,
        class_weights=compute_class_weights(images.train, options.optimizer.class_weights),
        is_multi_label=student.is_multi_label, distillation=options.teacher,
        has_unlabeled=images.train.num_unlabeled > 0, has_outliers=images.train.num_outliers > 0,
    )  # fmt: skip


def _keep_logits(
    teacher: nn.Module | TeacherProcess | None,
    options: TrainingOptions,
    student: Student,
    images: RunData,
    fingerprint: Fingerprint,
    accelerator: Accelerator,
) -> nn.Module | TeacherProcess | CachedTeacher | None:
    """Keep the logits of the teacher where the number of augmentations of an image is limited."""
    if teacher is None or not options.teacher.teacher_views:
        return teacher
    shape = CacheShape(len(images.train), options.teacher.teacher_views, len(student.classes))
    teachers = replace(options.teacher, distillation="hard", alpha=0.5, tau=1.0)  # those of the loss have no influence
    identity = (
        fingerprint, teachers, options.augmentation, options.run.seed, options.run.precision, student.image_size,
    )  # fmt: skip
    create = partial(create_cache_file, Path(options.run.out), shape, *identity)
    with long_work(accelerator):
        if accelerator.is_local_main_process:
            create()
    computed = NetworkTeacher(teacher, autocast=accelerator.autocast) if isinstance(teacher, nn.Module) else teacher
    return CachedTeacher(computed, create(), shape)


def _build_preparation(
    options: TrainingOptions,
    student: Student,
    images: RunData,
    teacher: nn.Module | TeacherProcess | CachedTeacher | None,
    accelerator: Accelerator,
) -> MicrobatchPreparation:
    return MicrobatchPreparation(
        mixup=_build_mixup(options, len(student.classes), images), device=accelerator.device,
        seed=options.run.seed, accumulate=options.optimizer.accumulate,
        teacher=None if isinstance(teacher, nn.Module) else teacher, is_multi_label=student.is_multi_label,
    )  # fmt: skip


def _build_mixup(options: TrainingOptions, num_classes: int, images: RunData) -> Mixup | None:
    mixing = options.augmentation
    if not mixing.mixup and not mixing.cutmix:
        return None
    # Labels are smoothed by the loss, after mixing. Outliers have a column of their own. Where a teacher's logits are
    # kept, its scores are mixed, too.
    num_columns = num_classes * (2 if options.teacher.teacher_views else 1) + (images.train.num_outliers > 0)
    return Mixup(
        mixup_alpha=mixing.mixup, cutmix_alpha=mixing.cutmix, prob=mixing.mix_share, label_smoothing=0.0,
        num_classes=num_columns, multi_label=True,
    )  # fmt: skip


def _build_callbacks(
    options: TrainingOptions, description: str, images: RunData, accelerator: Accelerator, facts: CardFacts
) -> list[Callback]:
    """Build the callbacks that report the run; only the first process writes files."""
    display = ProgressDisplay(
        description, epochs=options.schedule.total_epochs, steps_per_epoch=images.sampler.steps_per_epoch,
        metric=options.run.metric, is_main_process=accelerator.is_main_process,
        marks_best=options.run.select == "best",
    )  # fmt: skip
    callbacks: list[Callback] = [display]
    if accelerator.is_main_process:
        callbacks.append(ResultsTable(Path(options.run.out), options.run.metric))
        callbacks.append(ModelCardWriter(Path(options.run.out), facts))
        callbacks.append(RunReporter(options, images, facts.data.name, is_levit=facts.is_levit))
    if options.run.report_to != "none":
        callbacks.append(Tracker(accelerator, options))
    return callbacks


def _describe(
    options: TrainingOptions, data: TrainingData, student: Student, images: RunData, accelerator: Accelerator
) -> str:
    """One line about the run: network, image size, teacher, images, devices and precision."""
    count = sum(parameter.numel() for parameter in student.network.parameters())
    height, width = student.image_size
    unlabeled, outliers = images.train.num_unlabeled, images.train.num_outliers
    labeled, outputs = len(images.train.class_indices), len(student.classes)
    classes = f"{labeled} classes" if labeled == outputs else f"{labeled} of {outputs} classes"
    of_split = {name: f" ({path}: train split)" for name, path in data.train_splits.items()}
    teacher = f", distilled from {', '.join(options.teacher.names)}" if options.teacher.has_teacher else ""
    return (
        f"{options.model.model}, {count / 1e6:.1f} million parameters, {height}x{width}{teacher}: "
        f"{len(images.train) - unlabeled - outliers:,} training images of {classes}"
        f"{f' and {unlabeled:,} without labels' if unlabeled else ''}{of_split.get('unlabeled', '')}"
        f"{f' and {outliers:,} out-of-distribution images' if outliers else ''}{of_split.get('outliers', '')}, "
        f"{len(images.validation):,} validation images{_few_images(options, len(images.validation))}, "
        f"on {accelerator.num_processes} x {accelerator.device.type} in {options.run.precision}"
    )


def _few_images(options: TrainingOptions, count: int) -> str:
    """What few validation images mean for the choice of an epoch, as a part of a line."""
    if count >= FEW_VALIDATION_IMAGES:
        return ""
    if options.run.select == "last":
        return " (too few to choose an epoch by: the last one is kept)"
    return f" (few to choose an epoch by: one is {100 / count:.1f} % of the accuracy)"
