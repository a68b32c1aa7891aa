"""Labeled images in two parts: some that calibrate, and the others that judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from levit.data.labeled_images import LabeledImage, LabeledImages


class Part:
    """Some of the images, or all the others.

    Args:
        data: the images; name and hash stay those of the whole.
        chosen: some, by number.
        others: whether it is the others that are meant.
    """

    def __init__(self, data: LabeledImages, chosen: Collection[int], *, others: bool) -> None:
        self.name, self.classes = data.name, data.classes
        self.is_multi_label, self.any_is_right, self.is_grouped = (
            data.is_multi_label,
            data.any_is_right,
            data.is_grouped,
        )
        self._data, self._chosen, self._others = data, chosen, others

    def __len__(self) -> int:
        return len(self._data) - len(self._chosen) if self._others else len(self._chosen)

    def __iter__(self) -> Iterator[LabeledImage]:
        left = len(self._chosen)
        for number, item in enumerate(self._data):
            if not self._others and not left:
                return
            is_chosen = number in self._chosen
            left -= is_chosen
            if is_chosen != self._others:
                yield item

    def sha256(self) -> str:
        """Of the whole."""
        return self._data.sha256()


def divide(data: LabeledImages, count: int) -> tuple[Part, Part]:
    """The images that calibrate, and the others.

    The first ones calibrate; where images come class by class, evenly spaced ones, so that no class is left out.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> some, others = divide(open_data("examples"), 3)
        >>> [item.name for item in some], len(others)
        (['cat.jpg', 'espresso.jpg', 'officer.jpg'], 1)
    """
    count = min(count, len(data))
    chosen = {number * len(data) // count for number in range(count)} if data.is_grouped else range(count)
    return Part(data, chosen, others=False), Part(data, chosen, others=True)


def without_calibration(data: LabeledImages, count: int) -> LabeledImages:
    """What is left to judge by where `count` of the images calibrated: all of them, where none did.

    Examples:
        >>> from levit.data.open_data import open_data
        >>> [item.name for item in without_calibration(open_data("examples"), 3)]
        ['rocket.jpg']
    """
    return divide(data, count)[1] if count else data
