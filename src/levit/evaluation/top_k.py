"""Selection of the items with the highest scores from a stream of any length."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TopK(Generic[Item]):
    """Accumulator of the k highest-scoring items; of equal scores, it keeps the earlier ones.

    Args:
        k: maximum number of items.

    Examples:
        >>> best = TopK[str](2)
        >>> for score, name in ((1, "a"), (3, "b"), (1, "c"), (2, "d")):
        ...     best.add(score, name)
        >>> best.items()
        ['b', 'd']
    """

    def __init__(self, k: int) -> None:
        self._k, self._numbers = k, count()
        self._heap: list[tuple[float, int, Item]] = []

    def add(self, score: float, item: Item) -> None:
        """Keep an item if its score is among the k highest so far."""
        entry = (score, -next(self._numbers), item)
        if len(self._heap) < self._k:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def items(self) -> list[Item]:
        """The items in descending order of their scores."""
        return [item for *_, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]
