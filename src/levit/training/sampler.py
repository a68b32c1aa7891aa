"""What is seen in an epoch, in which order, and by whom: functions of the seed and the number of the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Request(NamedTuple):
    """An image that is to be prepared.

    Attributes:
        epoch: in which it is seen.
        number: of the image.
        copy: which of its repetitions it is, from 0.
    """

    epoch: int
    number: int
    copy: int


@dataclass(frozen=True, kw_only=True)
class Order:
    """How the images are divided into steps, and a step among processes.

    A step has the same images whatever the number of processes. Mixing pairs the first image with the last, the second
    with the last but one: a process gets both of each pair, so that what it mixes does not depend on that number. Pairs
    are dealt out like cards, because the repetitions of an image, neighbors in a step, belong to different processes:
    each then normalizes by as many different images as it can (timm's RepeatAugSampler does so, too).

    Attributes:
        images: how many there are.
        batch_size: of a step, over all processes.
        parts: into how many parts a step is divided: processes times accumulated parts.
        seed: of the order.
        repeats: how often an image stands in a row (repeated augmentation: Hoffer et al., arXiv 1901.09335); an epoch
            then has as many images as ever, of which fewer are different.

    Examples:
        >>> order = Order(images=10, batch_size=4, parts=2, seed=0)
        >>> order.steps, len(order.part(epoch=0, step=1, part=0))
        (3, 2)
    """

    images: int
    batch_size: int
    parts: int = 1
    seed: int = 0
    repeats: int = 1

    @property
    def pairs(self) -> int:
        """In a part."""
        enough = -(-self.images // (2 * self.parts))
        return max(1, min(self.batch_size // (2 * self.parts), enough))

    @property
    def step_size(self) -> int:
        """Images in a step: the batch size, but a whole number of pairs for everybody, and no more than it takes."""
        return 2 * self.pairs * self.parts

    @property
    def steps(self) -> int:
        """In an epoch; the last one is filled up with the next images of the order, or with the first ones again."""
        return -(-self.images // self.step_size)

    def part(self, *, epoch: int, step: int, part: int) -> list[Request]:
        """The images of one part of a step, the partners of the first half in the second half backwards."""
        order = _shuffled(self.images, self.seed, epoch, self.repeats, self.steps * self.step_size)
        chosen = order[step * self.step_size : (step + 1) * self.step_size]
        mine = slice(part, self.step_size // 2, self.parts)
        rows = np.concatenate([chosen[mine], chosen[::-1][mine][::-1]])
        return [Request(epoch, int(index), int(copy)) for index, copy in rows]

    def parts_from(self, *, epoch: int, step: int, process: int, processes: int) -> Iterator[list[Request]]:
        """What a process computes in an epoch, from a step on, in the order in which it is wanted."""
        each = self.parts // processes
        for number in range(step, self.steps):
            for part in range(process * each, (process + 1) * each):
                yield self.part(epoch=epoch, step=number, part=part)


@lru_cache(maxsize=2)  # a step is asked for at a time
def _shuffled(images: int, seed: int, epoch: int, repeats: int, needed: int) -> NDArray[np.int64]:
    """Index and repetition of as many images as are needed, in order: int64 [needed, 2]."""
    order = np.random.default_rng([seed, epoch]).permutation(images)
    rows = np.stack([np.repeat(order, repeats), np.tile(np.arange(repeats), images)], axis=1)
    again = [rows + np.array([0, repeats * time]) for time in range(-(-needed // len(rows)))]
    return np.concatenate(again)[:needed]
