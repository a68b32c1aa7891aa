"""One pass over labeled images through a classifier, with a count of the images that cannot be evaluated."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any, Literal, get_args

from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import ConfigError, DataError, ImageError, LevitError
from levit.images.decoding import ImageSource
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.prediction import Prediction

OnBadImage = Literal["skip", "fail"]
Progress = Callable[[Iterator[Prediction]], Iterator[Prediction]]


@dataclass(frozen=True)
class BadImage:
    """An image that could not be evaluated.

    Attributes:
        name: name of the image.
        reason: reason why it could not be evaluated, one line of text.
    """

    name: str
    reason: str


def describe_problems(
    bad_images: Iterable[BadImage], empty_classes: Iterable[str], duplicates: Duplicates | None
) -> dict[str, Any]:
    """Problems of a data set as plain JSON values.

    Args:
        bad_images: the images that could not be evaluated.
        empty_classes: names of the classes without an image.
        duplicates: duplicate images; None where they were not searched.
    """
    return {
        "bad": [asdict(bad) for bad in bad_images],
        "empty_classes": list(empty_classes),
        "duplicates": None if duplicates is None else _describe_duplicates(duplicates),
    }


def _describe_duplicates(duplicates: Duplicates) -> dict[str, Any]:
    return {
        "within": duplicates.num_within,
        "across": duplicates.num_across,
        "compared_splits": list(duplicates.compared_splits),
        "skipped_splits": dict(duplicates.skipped_splits),
        "examples": [{"name": name, "duplicate_of": other} for name, other in duplicates.examples],
    }


def without_progress(predictions: Iterator[Prediction]) -> Iterator[Prediction]:
    """Pass predictions on unchanged: the default of `progress` arguments."""
    return predictions


class LabeledPredictions:
    """Labeled images with their predictions, in one pass.

    An image is bad if it cannot be read, has a label that is not a class of the data set, or has several labels where
    one label is needed. Where labels are needed, images without a label are counted and not classified.

    Args:
        data: the images; `data.classes` are not empty.
        is_multi_label: whether an image may have any number of labels, including none.
        on_bad_image: count bad images ("skip"), or raise an error at the first one ("fail").

    Attributes:
        num_images: number of images read so far.
        num_unlabeled: number of images without a label, where labels are needed.
        bad_images: the bad images.

    Raises:
        ConfigError: `on_bad_image` is unknown.
    """

    def __init__(self, data: LabeledDataset, *, is_multi_label: bool = False, on_bad_image: OnBadImage) -> None:
        if on_bad_image not in get_args(OnBadImage):
            raise ConfigError(f"is {on_bad_image!r}", source="on_bad_image", hint="use skip or fail")
        self._data, self._is_multi_label, self._on_bad_image = data, is_multi_label, on_bad_image
        self.num_images = self.num_unlabeled = 0
        self.bad_images: list[BadImage] = []
        self._occurs = bytearray(len(data.classes))
        self._pending: deque[LabeledImage] = deque()  # handed to the classifier, prediction not yet returned

    def stream(
        self,
        classifier: Classifier,
        *,
        batch_size: int = DEFAULT_BATCH_SIZE,
        progress: Progress = without_progress,
    ) -> Iterator[tuple[LabeledImage, Prediction]]:
        """Classify the images, in order and in bounded memory.

        Args:
            classifier: the model.
            batch_size: number of images that are computed at once.
            progress: wraps the iterator over all predictions, for example in a progress bar.

        Yields:
            Each image that is not bad, with its prediction.

        Raises:
            DataError: with `on_bad_image="fail"`, an image has invalid labels.
            ImageError: with `on_bad_image="fail"`, an image cannot be read.
        """
        for prediction in progress(classifier.stream(self._sources(), batch_size=batch_size)):
            item = self._pending.popleft()
            if prediction.error is None:
                yield item, prediction
            else:
                self._add_bad_image(item.name, with_name(prediction.error, item, self._data))

    @property
    def empty_classes(self) -> tuple[str, ...]:
        """Names of the classes without an image; complete after the pass."""
        return tuple(name for name, occurs in zip(self._data.classes, self._occurs, strict=True) if not occurs)

    def _sources(self) -> Iterator[ImageSource]:
        """Yield the images to classify; images without a label and bad images are counted instead."""
        for item in self._data:
            self.num_images += 1
            for label in item.labels:
                if 0 <= label < len(self._occurs):
                    self._occurs[label] = True
            if not item.labels and not self._is_multi_label:
                self.num_unlabeled += 1
            elif (reason := self._label_error(item)) is not None:
                self._add_bad_image(item.name, DataError(reason, source=f"{self._data.name}: {item.name}"))
            else:
                self._pending.append(item)
                yield item.image

    def _label_error(self, item: LabeledImage) -> str | None:
        num_classes = len(self._data.classes)
        if len(item.labels) > 1 and not self._is_multi_label and not self._data.is_any_label_correct:
            return "more than one label"
        invalid = [label for label in item.labels if not 0 <= label < num_classes]
        return f"label {invalid[0]} is none of {num_classes} classes" if invalid else None

    def _add_bad_image(self, name: str, error: LevitError) -> None:
        if self._on_bad_image == "fail":
            raise error
        self.bad_images.append(BadImage(name, ": ".join(filter(None, (error.reason, error.hint)))))


def with_name(error: ImageError, item: LabeledImage, data: LabeledDataset) -> ImageError:
    """The error of an image of a data set, with its name as the source; that of a file has its path already."""
    if isinstance(item.image, str | PathLike):
        return error
    return ImageError(error.reason, source=f"{data.name}: {item.name}", hint=error.hint)
