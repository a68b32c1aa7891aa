"""Images that are decoded and preprocessed once and then evaluated with any number of engines."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from levit.data.labeled_images import LabeledDataset, LabeledImage
from levit.errors import DataError, ImageError
from levit.evaluation.accumulator import MetricAccumulator, top_classes
from levit.evaluation.labeled_predictions import (
    match_labels,
    none_usable,
    warn_of_unlabeled,
    warn_of_unusable,
    with_name,
)
from levit.images.transform import normalize, read_and_preprocess
from levit.runtime.classifier import DEFAULT_BATCH_SIZE
from levit.runtime.cpu_count import usable_cores
from levit.runtime.engine import Engine, ImageEngine
from levit.spec.artifact import Accuracy
from levit.spec.preprocessing import Preprocessing

Logits = NDArray[np.float32]

_CHUNK = 256  # images that are decoded before they are written to the file


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """A data set as pixels, for the evaluation of several models with the same preprocessing.

    Attributes:
        data: name of the data set.
        sha256: hash of the data set.
        preprocessing: preprocessing of the models; all of its steps except the normalization are applied.
        pixels: uint8 [images, height, width, 3], resized and cropped.
        targets: index of the label of each image: int64 [images]; None where the images have no labels.
    """

    data: str
    sha256: str
    preprocessing: Preprocessing
    pixels: NDArray[np.uint8] = field(repr=False)
    targets: NDArray[np.int64] | None = field(repr=False)

    def __len__(self) -> int:
        return len(self.pixels)

    def compute_logits(self, engine: Engine, *, batch_size: int = DEFAULT_BATCH_SIZE) -> Logits:
        """Compute the logits of all images: float32 [images, classes].

        Raises:
            ImageError: a logit is not finite.
        """
        batches = (self.pixels[start : start + batch_size] for start in range(0, len(self), batch_size))
        if isinstance(engine, ImageEngine):
            futures = [engine.submit(np.asarray(batch), batch_size) for batch in batches]  # blocks while all are busy
            logits = np.concatenate([future.result() for future in futures])
        else:
            logits = np.concatenate([engine.run(normalize(batch, self.preprocessing)) for batch in batches])
        is_finite = np.isfinite(logits).all(axis=1)
        if not is_finite.all():
            number = int(is_finite.argmin()) + 1
            raise ImageError(
                f"{engine.name} gives a logit that is not finite, in {engine.precision}",
                source=f"{self.data}: image {number}",
                hint="the weights are damaged, or too large for the precision",
            )
        return logits

    def accuracy(self, engine: Engine, logits: Logits) -> Accuracy | None:
        """Top-1 and top-5 accuracy of logits; None without labels.

        Args:
            engine: the engine that computed the logits.
            logits: float32 [images, classes].
        """
        if self.targets is None:
            return None
        metrics = MetricAccumulator(logits.shape[1])
        metrics.update(top_classes(logits), self.targets)
        return Accuracy(
            top1=metrics.top1, top5=metrics.top5, images=len(self), data=self.data, sha256=self.sha256,
            engine=engine.name, precision=engine.precision,
        )  # fmt: skip


@contextmanager
def prepare_images(
    data: LabeledDataset,
    preprocessing: Preprocessing,
    *,
    sha256: str,
    labels: tuple[str, ...] | None = None,
    class_map: Mapping[str, str] | None = None,
) -> Iterator[PreparedImages]:
    """Decode a data set once, into a temporary file that is deleted at the end of the context.

    Images that cannot be read are left out, and where accuracy is measured those without a label; a warning counts
    them. The file takes 3 bytes for each pixel: 7.5 GB for 50,000 images of 224x224.

    Args:
        data: the images.
        preprocessing: resizing, cropping and normalization, as the models need it.
        sha256: hash of the data set, which the caller has computed.
        labels: labels of the models, matched with the classes of the data; None where accuracy is not measured.
        class_map: label of the models for classes of the data whose names differ from it.

    Yields:
        The images; their pixels are a read-only memory map.

    Raises:
        DataError: there is no image, or none with a label; an image has several labels, or one of no class; or a class
            has no matching label.
        ImageError: no image can be read.
        OSError: the temporary file cannot be written.
    """
    indices = None if labels is None else match_labels(data, labels, class_map).class_indices
    targets: list[int] = []
    shape: tuple[int, ...] = (0,)
    with tempfile.TemporaryFile(prefix="levit-") as file:
        for item, image in preprocess_images(data, preprocessing, needs_label=indices is not None):
            file.write(image.tobytes())
            shape = (shape[0] + 1, *image.shape)
            if indices is not None:
                targets.append(indices[item.labels[0]])
        if not shape[0]:
            raise DataError("has no images with a label" if len(data) else "has no images", source=data.name)
        file.flush()
        pixels = np.memmap(file, np.uint8, "r", shape=shape)
        yield PreparedImages(
            data.name, sha256, preprocessing, pixels, None if indices is None else np.array(targets, np.int64)
        )


def agreement(logits: Logits, other_logits: Logits, *, is_multi_label: bool = False) -> float:
    """Fraction of equal predictions, in [0, 1].

    With several labels per image it is their F1 score: twice the number of labels that both predict, over the number of
    labels that each predicts. With exactly one label per image, this is the fraction of images. The classes that
    neither predicts do not count, because they are most of all classes.

    Args:
        logits: float32 [images, classes].
        other_logits: float32 [images, classes].
        is_multi_label: whether every class with a score above 0.5 is predicted, instead of one class.

    Returns:
        The fraction; 1 if neither predicts any label.
    """
    if is_multi_label:
        predicted, other_predicted = logits > 0, other_logits > 0
        count = int(predicted.sum()) + int(other_predicted.sum())
        return 2 * int((predicted & other_predicted).sum()) / count if count else 1.0
    return float(np.mean(logits.argmax(axis=1) == other_logits.argmax(axis=1)))


def preprocess_images(
    data: LabeledDataset, preprocessing: Preprocessing, *, needs_label: bool = False
) -> Iterator[tuple[LabeledImage, NDArray[np.uint8]]]:
    """Decode, resize and crop images on all cores; at the end, warn of the images that were left out.

    Args:
        data: the images.
        preprocessing: resizing and cropping.
        needs_label: whether images without a label are left out, and one with several is an error.

    Yields:
        Each image that can be read, in order, with its pixels, uint8 [height, width, 3].

    Raises:
        DataError, ImageError: as for `prepare_images`.
    """

    def read(item: LabeledImage) -> NDArray[np.uint8] | ImageError:
        try:
            return read_and_preprocess(item.image, preprocessing)
        except ImageError as error:
            return with_name(error, item, data)

    num_read = num_bad = 0
    first_error: ImageError | None = None
    items = _with_label(data) if needs_label else iter(data)
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="levit-decode") as pool:
        while chunk := list(islice(items, _CHUNK)):
            for item, image in zip(chunk, pool.map(read, chunk), strict=True):
                if isinstance(image, ImageError):
                    num_bad += 1
                    first_error = first_error or image
                else:
                    num_read += 1
                    yield item, image
    if first_error is not None and not num_read:
        raise none_usable(data, first_error)
    warn_of_unusable(data, num_bad, first_error)
    if needs_label and num_read:
        warn_of_unlabeled(data, len(data) - num_read - num_bad)


def _with_label(data: LabeledDataset) -> Iterator[LabeledImage]:
    """The images that have a label.

    Raises:
        DataError: an image has several labels, or one of no class.
    """
    for item in data:
        if len(item.labels) > 1:
            hint = "measuring accuracy needs images with one label"
            raise DataError("more than one label", source=f"{data.name}: {item.name}", hint=hint)
        if item.labels and not 0 <= item.labels[0] < len(data.classes):
            reason = f"label {item.labels[0]} is none of {len(data.classes)} classes"
            raise DataError(reason, source=f"{data.name}: {item.name}")
        if item.labels:
            yield item
