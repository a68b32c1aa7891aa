"""Batches of prepared images: from requests to tensors, in processes of their own where that helps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from levit.errors import DataError, ImageError, LevitError
from levit.images.decoding import ImageSource
from levit.runtime.cpu_count import usable_cores
from levit.training.indexed_images import IndexedImages
from levit.training.options import TrainingOptions
from levit.training.sampler import DeterministicSampler, SampleIndex
from levit.training.worker_processes import WorkerInit, worker_context

_TRIES = 100  # images that stand in one after another


class _Item(NamedTuple):
    """An image, or why there is none.

    An error that ends the run is not raised where images are prepared: torch would make a traceback of it.
    """

    pixels: Tensor | None
    labels: tuple[int, ...]
    bad: list[tuple[str, str]]
    error: str | None = None


class Batch(NamedTuple):
    """Images for one part of a step.

    Attributes:
        pixel_values: float32 [B, 3, height, width].
        targets: float32 [B, classes]: 1 for each label of an image.
        bad: what could not be read, and why.
        error: what ends the run.
    """

    pixel_values: Tensor
    targets: Tensor
    bad: list[tuple[str, str]]
    error: str | None = None


class Prepare(Protocol):
    """What makes pixels of an image."""

    def __call__(self, source: ImageSource, request: SampleIndex) -> Tensor:
        """float32 [3, height, width]."""
        ...


class ImageDataset(Dataset[Any]):
    """Prepared images by request.

    Args:
        images: as they are stored.
        prepare: makes pixels of one.
        fails: whether an image that cannot be read is an error.
        substitutes: whether otherwise the next one stands in; if not, it is left out.
    """

    def __init__(self, images: IndexedImages, prepare: Prepare, *, fails: bool, substitutes: bool) -> None:
        self._images, self._prepare, self._fails = images, prepare, fails
        self._tries = min(_TRIES, len(images)) if substitutes else 1

    def __getitem__(self, request: SampleIndex) -> _Item:
        bad: list[tuple[str, str]] = []
        for attempt in range(self._tries):
            index = (request.image + attempt) % len(self._images)
            try:
                pixels = self._prepare(self._images.image(index), request._replace(image=index))
            except ImageError as error:
                name = self._images.name(index)
                if self._fails:
                    return _Item(None, (), [], f"{name}: {_reason(error)}: mend it, or use --on-bad-image skip")
                bad.append((name, _reason(error)))
                continue
            return _Item(pixels, self._images.labels(index), bad)
        if self._tries == 1:
            return _Item(None, (), bad)
        return _Item(None, (), [], f"{bad[0][0]} and {len(bad) - 1} images after it cannot be read ({bad[0][1]})")


class Batches:
    """What a loader gives, as often as it is asked, until there is an error.

    Args:
        loader: of `Batch`.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self._loader = loader

    def __iter__(self) -> Iterator[Batch]:
        """All of it.

        Raises:
            DataError: an image cannot be read, and that is to end the run; or a hundred in a row.
            LevitError: a process that prepares images died, for lack of memory most often.
        """
        batches = iter(self._loader)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:  # torch's way
                if not str(error).startswith("DataLoader worker"):
                    raise
                reason = " ".join(str(error).split())[:200]
                raise LevitError(f"{reason}: go on by --resume with fewer --workers, or with --workers 0") from error
            if batch.error is not None:
                raise DataError(batch.error)
            yield batch


class _Parts(Sampler[list[SampleIndex]]):
    """The requests of a process, from a step of an epoch to the end of the run."""

    def __init__(
        self, order: DeterministicSampler, *, epochs: int, start: tuple[int, int], process: int, processes: int
    ) -> None:
        self._order, self._epochs, self._start = order, epochs, start
        self._process, self._processes = process, processes

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        first, step = self._start
        for epoch in range(first, self._epochs):
            yield from self._order.process_microbatches(
                epoch=epoch,
                first_step=step if epoch == first else 0,
                process=self._process,
                num_processes=self._processes,
            )


def training_batches(
    images: ImageDataset, classes: int, order: DeterministicSampler, *, epochs: int, start: tuple[int, int],
    process: int, processes: int, workers: int, pinned: bool,
) -> Batches:  # fmt: skip
    """All batches of a process, from an epoch and a step on to the end of the run."""
    parts = _Parts(order, epochs=epochs, start=start, process=process, processes=processes)
    return _batches(images, parts, classes, workers, pinned)


def validation_batches(
    images: ImageDataset, classes: int, count: int, *, batch_size: int, process: int, processes: int, workers: int,
    pinned: bool,
) -> Batches:  # fmt: skip
    """Every image once, those of one process."""
    mine = [SampleIndex(0, index, 0) for index in range(process, count, processes)]
    batches = [mine[start : start + batch_size] for start in range(0, len(mine), batch_size)]
    return _batches(images, batches, classes, workers, pinned)


def choose_num_workers(options: TrainingOptions, processes: int, *, on_cpu: bool) -> int:
    """How many processes prepare images.

    On a CPU the cores are the network's, and preparing takes a small part of the time.
    """
    if options.data.workers is not None:
        return options.data.workers
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", processes))  # of this machine, where torchrun has started them
    cores = usable_cores()
    return 0 if on_cpu and cores <= 2 * processes else max(1, min(16, cores // processes - int(on_cpu)))


def _batches(images: ImageDataset, parts: Any, classes: int, workers: int, pinned: bool) -> Batches:
    loader: DataLoader[Any] = DataLoader(
        images,
        batch_sampler=parts,
        num_workers=workers,
        collate_fn=_Collate(classes),
        pin_memory=pinned,
        persistent_workers=workers > 0,
        multiprocessing_context=worker_context() if workers else None,
        worker_init_fn=WorkerInit() if workers else None,
        generator=torch.Generator(),  # otherwise a number is drawn from the one that training uses
    )
    return Batches(loader)


class _Collate:
    def __init__(self, classes: int) -> None:
        self._classes = classes

    def __call__(self, items: list[_Item]) -> Batch:
        read = [(item.pixels, item.labels) for item in items if item.pixels is not None]
        targets = torch.zeros(len(read), self._classes)
        for row, (_, labels) in enumerate(read):
            targets[row, list(labels)] = 1
        bad = [one for item in items for one in item.bad]
        error = next((item.error for item in items if item.error is not None), None)
        return Batch(torch.stack([pixels for pixels, _ in read]) if read else torch.zeros(0), targets, bad, error)


def _reason(error: ImageError) -> str:
    text = str(error)
    return text.split(": ", 1)[1] if ": " in text else text
