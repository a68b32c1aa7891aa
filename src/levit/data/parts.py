"""Labelled images in two parts: some that calibrate, and the others that judge."""

from __future__ import annotations

from collections.abc import Iterator

from levit.data.labelled import LabelledImage, LabelledImages


class Part:
    """Every so-many-th of some images, up to a number of them; or all the others.

    Args:
        data: the images; name and hash stay those of the whole.
        step: how far apart the images stand.
        count: how many there are at most.
        others: whether it is the others that are meant.
    """

    def __init__(self, data: LabelledImages, step: int, count: int, *, others: bool) -> None:
        self.name, self.classes = data.name, data.classes
        self.is_multi_label, self.any_is_right, self.is_grouped = (
            data.is_multi_label,
            data.any_is_right,
            data.is_grouped,
        )
        self._data, self._step, self._count, self._others = data, step, count, others

    def __len__(self) -> int:
        chosen = min(self._count, -(-len(self._data) // self._step))
        return len(self._data) - chosen if self._others else chosen

    def __iter__(self) -> Iterator[LabelledImage]:
        for number, item in enumerate(self._data):
            place, rest = divmod(number, self._step)
            if (rest == 0 and place < self._count) != self._others:
                yield item
            if not self._others and place >= self._count:
                return

    def sha256(self) -> str:
        """Of the whole."""
        return self._data.sha256()


def divide(data: LabelledImages, count: int) -> tuple[Part, Part]:
    """The images that calibrate, and the others.

    The first ones calibrate; where images come class by class, evenly spaced ones, so that no class is left out.

    Examples:
        >>> from levit.data.opening import open_data
        >>> some, others = divide(open_data("examples"), 3)
        >>> [item.name for item in some], len(others)
        (['cat.jpg', 'espresso.jpg', 'officer.jpg'], 1)
    """
    step = max(1, len(data) // count) if data.is_grouped else 1
    return Part(data, step, count, others=False), Part(data, step, count, others=True)
