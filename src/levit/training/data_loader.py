"""Data loader: batches of preprocessed images, from worker processes where that is faster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from levit.errors import DataError, ImageError, LevitError, first_line
from levit.images.decoding import ImageSource
from levit.training.indexed_images import IndexedImages
from levit.training.sampler import DeterministicSampler, SampleIndex
from levit.training.worker_count import describe_shared_memory, num_validation_workers, shared_memory_error
from levit.training.worker_processes import RESPONSE_SECONDS, WorkerInit, killed_after, recorded, worker_context

OnBadImage = Literal["fail", "replace", "skip"]

_MAX_ATTEMPTS = 100  # consecutive images that are tried in place of an unreadable one


class Sample(NamedTuple):
    """Preprocessed image with its labels.

    Attributes:
        pixels: float32 [3, height, width]; None for a skipped image.
        labels: indices of its classes.
        errors: unreadable images, which were replaced or skipped.
        image: index of the image.
        view: number of its augmentation, from 0; 0 where their number is not limited.
        is_outlier: whether it is out-of-distribution.
    """

    pixels: Tensor | None
    labels: tuple[int, ...]
    errors: list[ImageError]
    image: int = 0
    view: int = 0
    is_outlier: bool = False


class Batch(NamedTuple):
    """Batch of preprocessed images.

    Attributes:
        pixel_values: float32 [B, 3, height, width].
        targets: float32 [B, classes], or with outliers [B, classes + 1]: 1 for each label of an image, and in the last
            column for an outlier.
        errors: unreadable images, which were replaced or skipped.
        samples: int64 [B, 2]: index of each image, and number of its augmentation.
    """

    pixel_values: Tensor
    targets: Tensor
    errors: list[ImageError]
    samples: Tensor = torch.zeros(0, 2, dtype=torch.int64)


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
        views: number of augmentations of an image, which take turns from epoch to epoch; 0 for another one each time.
    """

    def __init__(
        self, images: IndexedImages, transform: Transform, *, on_bad_image: OnBadImage, views: int = 0
    ) -> None:
        self._images, self._transform, self._on_bad_image, self._views = images, transform, on_bad_image, views

    def __len__(self) -> int:
        return len(self._images)

    @property
    def num_targets(self) -> int:
        """Columns of the targets: one for each class, and another one where there are outliers."""
        return len(self._images.classes) + (self._images.num_outliers > 0)

    def __getitem__(self, sample: SampleIndex) -> Sample | DataError:
        """Load a sample.

        An error that ends training is returned and raised by the consumer, because `DataLoader` would turn an exception
        of a worker into one whose message is a traceback.
        """
        errors: list[ImageError] = []
        view = 0
        if self._views:
            view = (sample.epoch + sample.repeat) % self._views
            sample = SampleIndex(view, sample.image, 0)
        attempts = min(_MAX_ATTEMPTS, len(self)) if self._on_bad_image == "replace" else 1
        for attempt in range(attempts):
            index = (sample.image + attempt) % len(self)
            try:
                pixels = self._transform(self._images.image(index), sample._replace(image=index))
            except ImageError as error:
                errors.append(ImageError(error.reason, source=self._images.name(index), hint=error.hint))
            else:
                return Sample(pixels, self._images.labels(index), errors, index, view, self._images.is_outlier(index))
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
        workers: its worker processes; it may append to them.
        max_wait: seconds in which the workers have to finish a batch.
    """

    def __init__(
        self, loader: DataLoader[Any], workers: Sequence[BaseProcess] = (), *, max_wait: float = RESPONSE_SECONDS
    ) -> None:
        self._loader, self._workers, self._max_wait = loader, workers, max_wait

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over all batches.

        Raises:
            DataError: an unreadable image with `on_bad_image` "fail", or too many unreadable images in a row.
            LevitError: a worker process was killed, most often for lack of memory, or the shared memory is full, or no
                batch arrived within the limit.
        """
        batches = iter(self._loader)
        while True:
            with killed_after(self._max_wait, self._workers) if self._loader.num_workers else nullcontext() as deadline:
                try:
                    batch = next(batches, None)
                except RuntimeError as error:  # torch has no type for it
                    if not str(error).startswith("DataLoader worker"):
                        raise
                    raise self._failure(error, is_late=deadline is not None and deadline.has_passed) from error
            if batch is None:
                return
            if isinstance(batch, LevitError):
                raise batch
            yield batch

    def _failure(self, error: RuntimeError, *, is_late: bool) -> LevitError:
        """Error for a worker that was killed; `is_late` says that it was killed because it did not finish a batch."""
        if is_late:
            reason = f"the workers that load images finished no batch in {self._max_wait:g} seconds"
            return LevitError(reason, hint="see whether the disk responds, or resume with `workers` set to 0")
        hint = "resume with fewer `workers`, or with `workers` set to 0"
        return LevitError(f"{first_line(error)} (its batches use {describe_shared_memory()})", hint=hint)


@dataclass(frozen=True, kw_only=True)
class LoaderSettings:
    """Settings of the data loaders of a process.

    Attributes:
        num_workers: number of worker processes; 0 loads images in this process.
        process: rank of this process.
        num_processes: number of processes that train together.
        pin_memory: copy batches to page-locked memory, for faster transfer to a GPU.
        max_wait: seconds in which the workers have to finish a batch; they are killed then, and the run ends.
    """

    num_workers: int = 0
    process: int = 0
    num_processes: int = 1
    pin_memory: bool = False
    max_wait: float = RESPONSE_SECONDS


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

    def __init__(self, num_targets: int) -> None:
        self._num_targets = num_targets

    def __call__(self, samples: list[Sample | DataError]) -> Batch | LevitError:
        pixels: list[Tensor] = []
        labels: list[list[int]] = []
        errors: list[ImageError] = []
        keys: list[tuple[int, int]] = []
        for sample in samples:
            if isinstance(sample, DataError):
                return sample
            errors.extend(sample.errors)
            if sample.pixels is not None:
                pixels.append(sample.pixels)
                labels.append([-1] if sample.is_outlier else list(sample.labels))
                keys.append((sample.image, sample.view))
        targets = torch.zeros(len(labels), self._num_targets)
        for row, of_image in enumerate(labels):
            targets[row, of_image] = 1
        indices = torch.tensor(keys, dtype=torch.int64).reshape(-1, 2)
        return _share(Batch(torch.stack(pixels) if pixels else torch.zeros(0), targets, errors, indices))


def _share(batch: Batch) -> Batch | LevitError:
    """Move a batch to shared memory in a worker, where the queue would do it in a thread whose errors are lost."""
    if get_worker_info() is None:
        return batch
    try:
        batch.pixel_values.share_memory_()
        batch.targets.share_memory_()
        batch.samples.share_memory_()
    except RuntimeError as error:  # torch has no type for it
        return shared_memory_error(f"{describe_shared_memory()} is too small ({first_line(error)})")
    return batch


def _load(
    dataset: ImageDataset, batches: Iterable[list[SampleIndex]], settings: LoaderSettings, num_workers: int
) -> BatchLoader:
    workers: list[BaseProcess] = []
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=_Collate(dataset.num_targets),
        pin_memory=settings.pin_memory,
        persistent_workers=num_workers > 0,
        multiprocessing_context=recorded(worker_context(), workers) if num_workers else None,
        worker_init_fn=WorkerInit() if num_workers else None,
        generator=torch.Generator(),  # otherwise a number is drawn from the generator of training
    )
    return BatchLoader(loader, workers, max_wait=settings.max_wait)
