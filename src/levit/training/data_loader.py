"""Data loader: batches of preprocessed images, from worker processes where that is faster."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from levit.errors import DataError, ImageError, LevitError, first_line
from levit.images.decoding import ImageSource
from levit.runtime.cpu_count import usable_cores
from levit.training.indexed_images import IndexedImages
from levit.training.sampler import DeterministicSampler, SampleIndex
from levit.training.shared_memory import describe_shared_memory, shared_memory_error
from levit.training.worker_processes import WorkerInit, worker_context

OnBadImage = Literal["fail", "replace", "skip"]

_MAX_ATTEMPTS = 100  # consecutive images that are tried in place of an unreadable one
_MAX_VALIDATION_WORKERS = 4  # they stay alive beside those of training
_MAX_WORKERS = 16


class Sample(NamedTuple):
    """Preprocessed image with its labels.

    Attributes:
        pixels: float32 [3, height, width]; None for a skipped image.
        labels: indices of its classes.
        errors: unreadable images, which were replaced or skipped.
    """

    pixels: Tensor | None
    labels: tuple[int, ...]
    errors: list[ImageError]


class Batch(NamedTuple):
    """Batch of preprocessed images.

    Attributes:
        pixel_values: float32 [B, 3, height, width].
        targets: float32 [B, classes]: 1 for each label of an image.
        errors: unreadable images, which were replaced or skipped.
    """

    pixel_values: Tensor
    targets: Tensor
    errors: list[ImageError]


class Transform(Protocol):
    """Conversion of an image to pixels."""

    def __call__(self, source: ImageSource, sample: SampleIndex) -> Tensor:
        """Return float32 [3, height, width]; raise `ImageError` for an unreadable image."""
        ...


class ImageDataset(Dataset[Any]):
    """Map-style data set of preprocessed images; its keys are `SampleIndex`.

    Args:
        images: the images.
        transform: the conversion to pixels.
        on_bad_image: "replace" an unreadable image with the next one, "skip" it, or "fail".
    """

    def __init__(self, images: IndexedImages, transform: Transform, *, on_bad_image: OnBadImage) -> None:
        self._images, self._transform, self._on_bad_image = images, transform, on_bad_image

    def __len__(self) -> int:
        return len(self._images)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self._images.classes)

    def __getitem__(self, sample: SampleIndex) -> Sample | DataError:
        """Load a sample.

        An error that ends training is returned and raised by the consumer, because `DataLoader` would turn an exception
        of a worker into one whose message is a traceback.
        """
        errors: list[ImageError] = []
        attempts = min(_MAX_ATTEMPTS, len(self)) if self._on_bad_image == "replace" else 1
        for attempt in range(attempts):
            index = (sample.image + attempt) % len(self)
            try:
                pixels = self._transform(self._images.image(index), sample._replace(image=index))
            except ImageError as error:
                errors.append(ImageError(error.reason, source=self._images.name(index), hint=error.hint))
            else:
                return Sample(pixels, self._images.labels(index), errors)
        if self._on_bad_image == "skip":
            return Sample(None, (), errors)
        first = errors[0]
        if self._on_bad_image == "fail":
            hint = f"{first.hint or 'repair it'}, or set `on_bad_image` to skip"
            return DataError(first.reason, source=first.source, hint=hint)
        reason = f"neither it nor the {len(errors) - 1} images after it can be read ({first.reason})"
        return DataError(reason, source=first.source)


class BatchLoader:
    """Iterable over the batches of a `DataLoader` that raises the errors of this package.

    Args:
        loader: yields `Batch`, or an error that ends training.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over all batches.

        Raises:
            DataError: an unreadable image with `on_bad_image` "fail", or too many unreadable images in a row.
            LevitError: a worker process was killed, most often for lack of memory, or the shared memory is full.
        """
        batches = iter(self._loader)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:  # torch has no type for it
                if not str(error).startswith("DataLoader worker"):
                    raise
                hint = "resume with fewer `workers`, or with `workers` set to 0"
                reason = f"{first_line(error)} (its batches use {describe_shared_memory()})"
                raise LevitError(reason, hint=hint) from error
            if isinstance(batch, LevitError):
                raise batch
            yield batch


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """Settings of the data loaders of a process.

    Attributes:
        num_workers: number of worker processes; 0 loads images in this process.
        process: rank of this process.
        num_processes: number of processes that train together.
        pin_memory: copy batches to page-locked memory, for faster transfer to a GPU.
    """

    num_workers: int = 0
    process: int = 0
    num_processes: int = 1
    pin_memory: bool = False


def training_batches(
    dataset: ImageDataset,
    sampler: DeterministicSampler,
    settings: LoaderSettings,
    *,
    epochs: int,
    start: tuple[int, int],
) -> BatchLoader:
    """Load the microbatches of a process up to the end of training.

    Args:
        dataset: the training set.
        sampler: selects the images of each microbatch.
        settings: workers and processes.
        epochs: number of epochs.
        start: number of the first epoch and of its first step, both from 0.
    """
    return _load(dataset, _ProcessSampler(sampler, settings, epochs, start), settings, settings.num_workers)


def validation_batches(dataset: ImageDataset, settings: LoaderSettings, *, batch_size: int) -> BatchLoader:
    """Load this process's share of a validation set, each image once; it can be iterated over repeatedly.

    Args:
        dataset: the validation set.
        settings: workers and processes.
        batch_size: images in a batch.
    """
    samples = [SampleIndex(0, image, 0) for image in range(settings.process, len(dataset), settings.num_processes)]
    batches = [samples[start : start + batch_size] for start in range(0, len(samples), batch_size)]
    return _load(dataset, batches, settings, num_validation_workers(settings.num_workers))


def processes_on_machine(num_processes: int) -> int:
    """Number of training processes on this machine: that of torchrun, or of all machines where it is unknown."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", num_processes))


def num_validation_workers(num_workers: int) -> int:
    """Number of worker processes of the validation loader beside those of training."""
    return min(num_workers, _MAX_VALIDATION_WORKERS)


def choose_num_workers(workers: int | None, num_processes: int, *, on_cpu: bool, cores: int | None = None) -> int:
    """Choose the number of worker processes that load images for each training process.

    On a CPU the network needs the cores, and loading images takes a small part of the time.

    Args:
        workers: the number that the user requests; None to choose by the number of cores.
        num_processes: processes that train together; torchrun's LOCAL_WORLD_SIZE, those on this machine, precedes it.
        on_cpu: whether the network is trained on the CPU.
        cores: number of cores; default: those that this process may use.
    """
    if workers is not None:
        return workers
    num_processes = processes_on_machine(num_processes)
    cores = usable_cores() if cores is None else cores
    if on_cpu and cores <= 2 * num_processes:
        return 0
    return max(1, min(_MAX_WORKERS, cores // num_processes - int(on_cpu)))


class _ProcessSampler(Sampler[list[SampleIndex]]):
    """Batch sampler of one process, from a step of an epoch to the end of training."""

    def __init__(
        self, sampler: DeterministicSampler, settings: LoaderSettings, epochs: int, start: tuple[int, int]
    ) -> None:
        self._sampler, self._settings, self._epochs, self._start = sampler, settings, epochs, start

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        first_epoch, first_step = self._start
        for epoch in range(first_epoch, self._epochs):
            yield from self._sampler.process_microbatches(
                epoch=epoch,
                first_step=first_step if epoch == first_epoch else 0,
                process=self._settings.process,
                num_processes=self._settings.num_processes,
            )


class _Collate:
    """Combination of samples into a batch."""

    def __init__(self, num_classes: int) -> None:
        self._num_classes = num_classes

    def __call__(self, samples: list[Sample | DataError]) -> Batch | LevitError:
        pixels: list[Tensor] = []
        labels: list[tuple[int, ...]] = []
        errors: list[ImageError] = []
        for sample in samples:
            if isinstance(sample, DataError):
                return sample
            errors.extend(sample.errors)
            if sample.pixels is not None:
                pixels.append(sample.pixels)
                labels.append(sample.labels)
        targets = torch.zeros(len(labels), self._num_classes)
        for row, of_image in enumerate(labels):
            targets[row, list(of_image)] = 1
        return _share(Batch(torch.stack(pixels) if pixels else torch.zeros(0), targets, errors))


def _share(batch: Batch) -> Batch | LevitError:
    """Move a batch to shared memory in a worker, where the queue would do it in a thread whose errors are lost."""
    if get_worker_info() is None:
        return batch
    try:
        batch.pixel_values.share_memory_()
        batch.targets.share_memory_()
    except RuntimeError as error:  # torch has no type for it
        return shared_memory_error(f"{describe_shared_memory()} is too small ({first_line(error)})")
    return batch


def _load(
    dataset: ImageDataset, batches: Iterable[list[SampleIndex]], settings: LoaderSettings, num_workers: int
) -> BatchLoader:
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=_Collate(dataset.num_classes),
        pin_memory=settings.pin_memory,
        persistent_workers=num_workers > 0,
        multiprocessing_context=worker_context() if num_workers else None,
        worker_init_fn=WorkerInit() if num_workers else None,
        generator=torch.Generator(),  # otherwise a number is drawn from the generator of training
    )
    return BatchLoader(loader)
