"""The few of many that have the highest scores, whatever their number."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Highest(Generic[Item]):
    """Keeps the items of the highest scores; of equal ones the earliest.

    Args:
        kept: how many.

    Examples:
        >>> best = Highest[str](2)
        >>> for score, name in ((1, "a"), (3, "b"), (1, "c"), (2, "d")):
        ...     best.add(score, name)
        >>> best.items()
        ['b', 'd']
    """

    def __init__(self, kept: int) -> None:
        self._kept, self._order = kept, count()
        self._heap: list[tuple[float, int, Item]] = []

    def add(self, score: float, item: Item) -> None:
        """Keep an item, if its score is high enough."""
        entry = (score, -next(self._order), item)
        if len(self._heap) < self._kept:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def items(self) -> list[Item]:
        """What was kept, the highest first."""
        return [item for *_, item in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]
