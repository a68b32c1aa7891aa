"""Evaluation of models on images with one label each, in one pass through the runtime that predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import zip_longest
from os import PathLike

from levit.data.duplicates import Duplicates
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_data
from levit.data.read_once import read_once
from levit.data.shared_pass import share_pass
from levit.evaluation.labeled_predictions import OnBadImage, Progress, without_progress
from levit.evaluation.quantization_images import exclude_quantization_images, warn_of_own_images
from levit.evaluation.single_label_pass import Evaluation, OnPrediction, SingleLabelPass, call_both
from levit.evaluation.training_images import TrainingImageCounter
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.runtime.engine import Engine


def evaluate(
    model: str | PathLike[str] | Classifier | Engine | None,
    data: str | PathLike[str] | LabeledDataset,
    *,
    split: str | None = None,
    allow_outside: bool = False,
    class_map: Mapping[str, str] | None = None,
    data_classes_only: bool = False,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    quantization_images: int | None = None,
    duplicates: Callable[[], Duplicates] | None = None,
    on_prediction: OnPrediction | None = None,
    progress: Progress = without_progress,
) -> Evaluation:
    """Evaluate a model on labeled images: `levit.evaluate` without the files that it writes.

    The arguments are those of `levit.evaluate`.

    Raises:
        ConfigError, DataError, ImageError: as for `levit.evaluate`.
    """
    classifier = model if isinstance(model, Classifier) else Classifier(model)
    images = open_data(data, split=split, allow_outside=allow_outside) if isinstance(data, str | PathLike) else data
    (evaluation,) = evaluate_together(
        [(classifier, on_prediction)], images, class_map=class_map, data_classes_only=data_classes_only,
        on_bad_image=on_bad_image, batch_size=batch_size, quantization_images=quantization_images,
        duplicates=duplicates, progress=progress,
    )  # fmt: skip
    return evaluation


def evaluate_together(
    models: Sequence[tuple[Classifier, OnPrediction | None]],
    data: LabeledDataset,
    *,
    class_map: Mapping[str, str] | None = None,
    data_classes_only: bool = False,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    quantization_images: int | None = None,
    duplicates: Callable[[], Duplicates] | None = None,
    progress: Progress = without_progress,
) -> list[Evaluation]:
    """Evaluate several models on the same images, which are read once for all of them.

    The models take turns: an image is evaluated by the first model before it is evaluated by the others.

    Args:
        models: the models, with their callbacks for each evaluated image.
        data: the data set.
        class_map: as for `levit.evaluate`.
        data_classes_only: as for `levit.evaluate`.
        on_bad_image: as for `levit.evaluate`.
        batch_size: as for `levit.evaluate`.
        quantization_images: as for `levit.evaluate`; None for the largest number of the models.
        duplicates: as for `levit.evaluate`.
        progress: wraps the iterator over the predictions of the first model.

    Raises:
        ConfigError, DataError, ImageError: as for `levit.evaluate`.
    """
    images = read_once(data)
    artifacts = [classifier.artifact for classifier, _ in models]
    kept, num_excluded = exclude_quantization_images(artifacts, images, quantization_images)
    shared = share_pass(kept, len(models))
    counters = [TrainingImageCounter(classifier.path) for classifier, _ in models]
    passes = [
        SingleLabelPass(
            classifier, reader, class_map, on_bad_image, call_both(counter.count, on_prediction),
            data_classes_only=data_classes_only,
        )
        for (classifier, on_prediction), reader, counter in zip(models, shared, counters, strict=True)
    ]  # fmt: skip
    with ExitStack() as stack:
        steps = [
            stack.enter_context(closing(model_pass.steps(batch_size, without_progress if number else progress)))
            for number, model_pass in enumerate(passes)
        ]
        for _ in zip_longest(*steps):  # one step of each model in turn
            pass
    for counter in counters:
        counter.warn(len(kept))
    for artifact in artifacts:
        warn_of_own_images(artifact, images, num_excluded=num_excluded if quantization_images is None else None)
    found = duplicates() if duplicates else None
    return [model_pass.result(duplicates=found, num_excluded=num_excluded) for model_pass in passes]
