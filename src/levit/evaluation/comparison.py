"""Two models on the same images: how often they agree, which is better and how surely, and where they differ."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from math import sqrt

from levit.data.class_matching import normalize_class_name
from levit.data.labeled_images import LabeledImage
from levit.errors import DataError
from levit.evaluation.evaluator import Evaluation
from levit.evaluation.metrics import Share, share
from levit.evaluation.top_k import Highest
from levit.images.decoding import ImageSource
from levit.runtime.prediction import Prediction

KEPT = 24  # images that one of them has right and the other wrong
_Z = 1.959963984540054


@dataclass(frozen=True)
class Difference:
    """An image that one model has right and the other wrong."""

    name: str
    image: ImageSource = field(repr=False)
    truth: str
    first: str
    second: str
    score: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same images.

    Attributes:
        first, second: what each of them reached alone.
        agreement: how often they give the same answer.
        both_right, only_first, only_second, neither: images by which of them has them right.
        gain: points of top-1 by which the second is better, with the interval that holds the true difference in 95 of
            100 samples of images.
        differences: images that one of them has right, the one that errs the surest first.
    """

    first: Evaluation
    second: Evaluation
    agreement: Share
    both_right: int
    only_first: int
    only_second: int
    neither: int
    gain: Share
    differences: tuple[Difference, ...] = field(repr=False)


class Answers:
    """What a model answers, image by image: five bytes for each, and the images that another model is compared on."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}  # of the answers, in the order in which they first occur
        self.places = array("i")
        self.right = bytearray()

    def add(self, item: LabeledImage, prediction: Prediction, truth: int) -> None:
        """One judged image; to be given to `evaluate` as `on_prediction`."""
        best = prediction.top(1)[0]
        self.places.append(self.names.setdefault(best.name, len(self.names)))
        self.right.append(best.index == truth)


class Comparer:
    """The second model's answers beside those of the first."""

    def __init__(self, first: Answers) -> None:
        self._first, self._names = first, list(first.names)
        self._counts = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
        self._same = self._seen = 0
        self._differences = Highest[Difference](KEPT)

    def add(self, item: LabeledImage, prediction: Prediction, truth: int) -> None:
        """One judged image; to be given to `evaluate` as `on_prediction`."""
        best, place = prediction.top(1)[0], self._seen
        self._seen += 1
        if place >= len(self._first.places):
            return  # refused below, with both counts
        other = self._names[self._first.places[place]]
        rights = (bool(self._first.right[place]), best.index == truth)
        self._counts[rights] += 1
        self._same += best.name == other or normalize_class_name(best.name) == normalize_class_name(other)
        if rights[0] != rights[1]:
            self._differences.add(
                best.score,
                Difference(item.name, item.image, prediction.labels[truth], other, best.name, best.score),
            )

    def finish(self, first: Evaluation, second: Evaluation) -> Comparison:
        """Everything, once both have seen all images.

        Raises:
            DataError: they have not judged the same images.
        """
        if not first.judged == second.judged == self._seen:
            raise DataError(
                f"{first.data}: {first.model} judged {first.judged} images and {second.model} {second.judged}: "
                "what changes while it is read cannot be compared"
            )
        lost, won = self._counts[True, False], self._counts[False, True]
        return Comparison(
            first=first,
            second=second,
            agreement=share(self._same, self._seen),
            both_right=self._counts[True, True],
            only_first=lost,
            only_second=won,
            neither=self._counts[False, False],
            gain=paired_difference(lost, won, self._seen),
            differences=tuple(self._differences.items()),
        )


def paired_difference(lost: int, won: int, images: int) -> Share:
    """The difference of two shares of the same images, in points, with its 95 % interval.

    That of Agresti and Min (2005): half an image more in each of the four fields, so that few images without a
    disagreement do not count as certainty.

    Args:
        lost: images that only the first has right.
        won: images that only the second has right.
        images: all of them.

    Examples:
        >>> paired_difference(40, 60, 1000)
        Share(percent=2.0, low=0.03..., high=3.95...)
    """
    whole, gain = images + 2, (won - lost) / images
    center = (won - lost) / whole
    half = _Z * sqrt(max(0.0, won + lost + 1 - (won - lost) ** 2 / whole)) / whole
    low, high = max(-1.0, min(gain, center - half)), min(1.0, max(gain, center + half))
    return Share(100 * gain, 100 * low, 100 * high)
