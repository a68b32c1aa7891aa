"""One pass over labeled images through a classifier, with a count of the images that cannot be evaluated."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from typing import Any, get_args

from levit.data.class_matching import ClassMatch, match_classes
from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import ConfigError, DataError, ImageError, LevitError, LevitWarning
from levit.images.decoding import ImageSource
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.prediction import Prediction
from levit.spec.choices import OnBadImage

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
        on_bad_label: the same for images with invalid labels; None for `on_bad_image`.

    Attributes:
        num_images: number of images read so far.
        num_unlabeled: number of images without a label, where labels are needed.
        bad_images: the bad images.
        first_error: error of the first bad image; None where there is none.

    Raises:
        ConfigError: `on_bad_image` is unknown.
    """

    def __init__(
        self,
        data: LabeledDataset,
        *,
        is_multi_label: bool = False,
        on_bad_image: OnBadImage,
        on_bad_label: OnBadImage | None = None,
    ) -> None:
        if on_bad_image not in get_args(OnBadImage):
            raise ConfigError(f"is {on_bad_image!r}", source="on_bad_image", hint="use skip or fail")
        self._data, self._is_multi_label = data, is_multi_label
        self._on_bad_image, self._on_bad_label = on_bad_image, on_bad_label or on_bad_image
        self.num_images = self.num_unlabeled = 0
        self.bad_images: list[BadImage] = []
        self.first_error: LevitError | None = None
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
            DataError: with `on_bad_label="fail"`, an image has invalid labels.
            ImageError: with `on_bad_image="fail"`, an image cannot be read.
        """
        for prediction in progress(classifier.stream(self._sources(), batch_size=batch_size)):
            item = self._pending.popleft()
            if prediction.error is None:
                yield item, prediction
            else:
                self._add_bad_image(item.name, with_name(prediction.error, item, self._data), self._on_bad_image)

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
                error = DataError(reason, source=f"{self._data.name}: {item.name}")
                self._add_bad_image(item.name, error, self._on_bad_label)
            else:
                self._pending.append(item)
                yield item.image

    def _label_error(self, item: LabeledImage) -> str | None:
        num_classes = len(self._data.classes)
        if len(item.labels) > 1 and not self._is_multi_label and not self._data.is_any_label_correct:
            return "more than one label"
        invalid = [label for label in item.labels if not 0 <= label < num_classes]
        return f"label {invalid[0]} is none of {num_classes} classes" if invalid else None

    def _add_bad_image(self, name: str, error: LevitError, on_bad: OnBadImage) -> None:
        if on_bad == "fail":
            raise error
        self.first_error = self.first_error or error
        self.bad_images.append(BadImage(name, ": ".join(filter(None, (error.reason, error.hint)))))


def match_labels(data: LabeledDataset, labels: Sequence[str], class_map: Mapping[str, str] | None = None) -> ClassMatch:
    """Match the classes of images that have one label each with the labels of a model.

    Args:
        data: the images.
        labels: labels of the model.
        class_map: for some classes, the label of the model.

    Raises:
        DataError: the images have no labels or any number of them, or the classes do not match.
    """
    if data.is_multi_label:
        raise DataError("its images have several labels each", source=data.name, hint="give images with one label each")
    if not data.classes:
        raise DataError("no labels", source=data.name, hint="put the images into one folder for each class")
    return match_classes(data.classes, labels, data.name, class_map)


def warn_of_unlabeled(data: LabeledDataset, count: int) -> None:
    """Warn that a number of images of a data set have no label, if there are any."""
    if count:
        text = "1 image has no label, and is" if count == 1 else f"{count:,} images have no label, and are"
        warnings.warn(f"{data.name}: {text} left out", LevitWarning, stacklevel=4)


def warn_of_unusable(data: LabeledDataset, count: int, first: LevitError | None) -> None:
    """Warn that a number of images of a data set cannot be used, with the error of the first, if there are any."""
    if first is not None:
        text = "1 image cannot be used, and is" if count == 1 else f"{count:,} images cannot be used, and are"
        warnings.warn(f"{data.name}: {text} left out: {first.source}: {first.reason}", LevitWarning, stacklevel=4)


def none_usable(data: LabeledDataset, first: LevitError) -> ImageError:
    """The error of a data set of which no image can be used, with the error of the first."""
    return ImageError(f"none of its images can be used: {first.source}: {first.reason}", source=data.name)


def with_name(error: ImageError, item: LabeledImage, data: LabeledDataset) -> ImageError:
    """The error of an image of a data set, with its name as the source; that of a file has its path already."""
    if isinstance(item.image, str | PathLike):
        return error
    return ImageError(error.reason, source=f"{data.name}: {item.name}", hint=error.hint)
