"""Deterministic distributed sampler: which images are in each microbatch, as a function of seed, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SampleIndex(NamedTuple):
    """Index of a training sample; its augmentation is a function of these numbers and the seed.

    Attributes:
        epoch: number of the epoch, from 0.
        image: index of the image in the data set.
        repeat: number of the occurrence of the image in the epoch, from 0.
    """

    epoch: int
    image: int
    repeat: int


@dataclass(frozen=True, kw_only=True)
class DeterministicSampler:
    """Deterministic distributed sampler with repeated augmentation.

    A step has the same images for any number of processes. Mixup pairs the first image of a microbatch with the last,
    the second with the last but one: a process gets both images of a pair, so that its mixed images do not depend on
    the number of processes. Pairs are distributed round-robin, because the repetitions of an image, neighbors in a
    step, belong to different processes: the batch norms of each process then see as many different images as possible
    (as with timm's RepeatAugSampler).

    Attributes:
        num_images: number of images in the data set.
        batch_size: images in a step, over all processes.
        num_microbatches: microbatches in a step: processes times gradient accumulation steps.
        seed: seed of the order.
        repeats: number of consecutive occurrences of an image (repeated augmentation: Hoffer et al., arXiv
            1901.09335); the number of steps in an epoch does not change, so that fewer images are seen in each.

    Examples:
        >>> sampler = DeterministicSampler(num_images=10, batch_size=4, num_microbatches=2, seed=0)
        >>> sampler.steps_per_epoch, len(sampler.microbatch(epoch=0, step=1, index=0))
        (3, 2)
    """

    num_images: int
    batch_size: int
    num_microbatches: int = 1
    seed: int = 0
    repeats: int = 1

    @property
    def microbatch_size(self) -> int:
        """Images in a microbatch: an even number, at least 2, and no more than one epoch needs."""
        pairs = self.batch_size // (2 * self.num_microbatches)
        needed = -(-self.num_images // (2 * self.num_microbatches))
        return 2 * max(1, min(pairs, needed))

    @property
    def step_size(self) -> int:
        """Images in a step: the batch size, rounded to whole microbatches."""
        return self.microbatch_size * self.num_microbatches

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch; the last one is filled up with images from the beginning of the order."""
        return -(-self.num_images // self.step_size)

    def microbatch(self, *, epoch: int, step: int, index: int) -> list[SampleIndex]:
        """Select the samples of one microbatch of a step; sample i and sample -1 - i are a pair for mixup.

        Args:
            epoch: number of the epoch, from 0.
            step: number of the step in the epoch, from 0.
            index: number of the microbatch in the step, from 0.
        """
        order = _shuffle(self.num_images, self.seed, epoch, self.repeats, self.steps_per_epoch * self.step_size)
        samples = order[step * self.step_size : (step + 1) * self.step_size]
        first_half = slice(index, self.step_size // 2, self.num_microbatches)
        rows = np.concatenate([samples[first_half], samples[::-1][first_half][::-1]])
        return [SampleIndex(epoch, int(image), int(repeat)) for image, repeat in rows]

    def process_microbatches(
        self, *, epoch: int, first_step: int, process: int, num_processes: int
    ) -> Iterator[list[SampleIndex]]:
        """Iterate over the microbatches of one process in an epoch, from a step on.

        Args:
            epoch: number of the epoch, from 0.
            first_step: number of the first step, from 0.
            process: rank of the process.
            num_processes: number of processes; it divides `num_microbatches`.
        """
        per_process = self.num_microbatches // num_processes
        for step in range(first_step, self.steps_per_epoch):
            for index in range(process * per_process, (process + 1) * per_process):
                yield self.microbatch(epoch=epoch, step=step, index=index)


@lru_cache(maxsize=2)  # called for every microbatch of an epoch
def _shuffle(num_images: int, seed: int, epoch: int, repeats: int, length: int) -> NDArray[np.int64]:
    """Indices and repeat numbers of the images of an epoch in shuffled order: int64 [length, 2]."""
    order = np.random.default_rng([seed, epoch]).permutation(num_images)
    rows = np.stack([np.repeat(order, repeats), np.tile(np.arange(repeats), num_images)], axis=1)
    passes = -(-length // len(rows))
    return np.concatenate([rows + np.array([0, repeats * number]) for number in range(passes)])[:length]
