"""Data of a run: indexed images, the sampler of the steps, and the loaders of a process."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray

from levit.errors import LevitWarning
from levit.training.augmentation import Augmentation, EvaluationTransform
from levit.training.control_group import long_work
from levit.training.data_loader import (
    BatchLoader,
    ImageDataset,
    LoaderSettings,
    training_batches,
    validation_batches,
)
from levit.training.datasets import IMAGE_COPIES, TrainingData, count_labels, index_training_data
from levit.training.indexed_images import IndexedImages, estimate_copy_size, needs_copy
from levit.training.losses import balanced_class_weights, balanced_label_weights
from levit.training.options import TrainingOptions
from levit.training.output_directory import check_free_space
from levit.training.progress import Progress
from levit.training.progress_display import print_line
from levit.training.run_options import count_images
from levit.training.sampler import DeterministicSampler
from levit.training.student import Student
from levit.training.teacher_cache import CacheShape, size_of_cache_files
from levit.training.worker_count import (
    check_shared_memory,
    choose_num_workers,
    free_shared_memory,
    reduce_num_workers,
)


class RunData(NamedTuple):
    """Images of a run, and their division into steps.

    Attributes:
        train: images of the training set.
        validation: images of the validation set.
        sampler: selects the training images of each step.
    """

    train: IndexedImages
    validation: IndexedImages
    sampler: DeterministicSampler


def prepare_data(options: TrainingOptions, data: TrainingData, student: Student, accelerator: Accelerator) -> RunData:
    """Index the images, and copy those that are not files into the run directory.

    Raises:
        DataError: images or classes cannot be used.
        LevitError: the disk has too little space.
    """
    run = Path(options.run.out)
    index = partial(
        index_training_data, data, student.classes, copies=run / IMAGE_COPIES, val_share=options.data.val_share,
        seed=options.run.seed, writes=accelerator.is_main_process, keeps_unlabeled=options.teacher.uses_unlabeled,
    )  # fmt: skip
    images = None
    with long_work(accelerator):
        if accelerator.is_main_process:
            weights = sum(tensor.nbytes for tensor in student.network.state_dict().values())
            copies = sum(map(estimate_copy_size, data.datasets))
            check_free_space(run, weights=weights, others=copies + _size_of_logits(options, data, student))
            if copied := [dataset.name for dataset in data.datasets if needs_copy(dataset)]:
                print_line(f"{' and '.join(copied)}: copying the images into {run / IMAGE_COPIES}")
            images = index()
    train, validation = images or index()  # the others open the copies of the first process
    return RunData(train, validation, _build_sampler(options, accelerator, len(train)))


def _size_of_logits(options: TrainingOptions, data: TrainingData, student: Student) -> int:
    """Estimate the bytes by which the file of the teacher's logits will be larger than those of an earlier process."""
    if not options.teacher.teacher_views:
        return 0
    num_images, _ = count_images(data, options)
    shape = CacheShape(num_images, options.teacher.teacher_views, len(student.classes))
    return max(0, shape.nbytes - size_of_cache_files(Path(options.run.out)))


def build_loaders(
    options: TrainingOptions, data: RunData, student: Student, accelerator: Accelerator, progress: Progress
) -> tuple[BatchLoader, BatchLoader]:
    """Build the loaders of this process: training batches from the current step on, and validation batches."""
    augmentation = Augmentation(options.augmentation, student.preprocessing, student.image_size, seed=options.run.seed)
    skips = options.data.on_bad_image == "skip"
    train = ImageDataset(
        data.train, augmentation, on_bad_image="replace" if skips else "fail", views=options.teacher.teacher_views
    )
    validation = ImageDataset(
        data.validation, EvaluationTransform(student.preprocessing), on_bad_image="skip" if skips else "fail"
    )
    settings = LoaderSettings(
        num_workers=_choose_num_workers(options, data, student, accelerator),
        process=accelerator.process_index, num_processes=accelerator.num_processes,
        pin_memory=accelerator.device.type == "cuda",
    )  # fmt: skip
    return (
        training_batches(
            train, data.sampler, settings, epochs=options.schedule.total_epochs, start=(progress.epoch, progress.step)
        ),
        validation_batches(validation, settings, batch_size=2 * data.sampler.microbatch_size),
    )


def _choose_num_workers(options: TrainingOptions, data: RunData, student: Student, accelerator: Accelerator) -> int:
    """Choose the number of workers; fewer than by the number of cores where the shared memory is small.

    Raises:
        LevitError: the shared memory is too small for the number that the user requests.
    """
    num_processes, on_cpu = accelerator.num_processes, accelerator.device.type == "cpu"
    num_workers = choose_num_workers(options.data.workers, num_processes, on_cpu=on_cpu)
    height, width = student.image_size
    batch_bytes = 4 * data.sampler.microbatch_size * (3 * height * width + len(student.classes))
    free = free_shared_memory()
    if options.data.workers is not None:
        check_shared_memory(num_workers, batch_bytes, num_processes, free)
        return num_workers
    return reduce_num_workers(num_workers, batch_bytes, num_processes, free)


def compute_class_weights(images: IndexedImages, class_weights: str) -> NDArray[np.float32] | None:
    """Weights of the loss, as the option `class_weights` requests: None for equal weights."""
    if class_weights == "none":
        return None
    counts = count_labels(images)
    return balanced_label_weights(counts, len(images)) if images.is_multi_label else balanced_class_weights(counts)


def _build_sampler(options: TrainingOptions, accelerator: Accelerator, num_images: int) -> DeterministicSampler:
    """Build the sampler, with a warning where the number of images in a step differs from the batch size."""
    batch_size = options.optimizer.batch_size
    sampler = DeterministicSampler(
        num_images=num_images, batch_size=batch_size,
        num_microbatches=accelerator.num_processes * options.optimizer.accumulate, seed=options.run.seed,
        repeats=options.augmentation.repeats,
    )  # fmt: skip
    if sampler.step_size != batch_size:
        reason = f"there are {num_images} training images"
        if num_images >= batch_size:
            reason = "microbatches have an even number of images"
        parts = f", {sampler.num_microbatches} microbatches of {sampler.microbatch_size}"
        text = (
            f"`batch_size` is {batch_size}: a step has {sampler.step_size} images"
            f"{parts if sampler.num_microbatches > 1 else ''}, because {reason}"
        )
        warnings.warn(text, LevitWarning, stacklevel=2)
    return sampler
