"""Evaluation of models on images with one label each, in one pass through the runtime that predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import zip_longest

from levit.data.labeled_images import LabeledDataset
from levit.data.read_once import read_once
from levit.data.shared_pass import share_pass
from levit.evaluation.comparison import ComparisonAccumulator, RecordedPredictions
from levit.evaluation.evaluation_set import HashProgress, duplicates_of, split_of, without_hash_progress
from levit.evaluation.labeled_predictions import Progress, without_progress
from levit.evaluation.quantization_images import exclude_quantization_images, warn_of_own_images
from levit.evaluation.single_label_pass import Evaluation, OnPrediction, SingleLabelPass, call_all
from levit.evaluation.training_images import TrainingImageCounter
from levit.runtime.classifier import DEFAULT_BATCH_SIZE, Classifier
from levit.spec.choices import OnBadImage


def evaluate(
    classifier: Classifier,
    data: LabeledDataset,
    *,
    compare: Classifier | None = None,
    class_map: Mapping[str, str] | None = None,
    data_classes_only: bool = False,
    on_bad_image: OnBadImage = "skip",
    batch_size: int = DEFAULT_BATCH_SIZE,
    find_duplicates: bool = True,
    duplicates_progress: HashProgress = without_hash_progress,
    on_prediction: OnPrediction | None = None,
    progress: Progress = without_progress,
) -> Evaluation:
    """Evaluate a model on labeled images: `levit.evaluate` of an opened model and opened data, without its files.

    The images are read once for both models. They take turns: an image is evaluated by the first model before it is
    evaluated by the second.

    Args:
        classifier: the model.
        data: the data set.
        compare: second model, which is evaluated on the same images.
        class_map: as for `levit.evaluate`.
        data_classes_only: as for `levit.evaluate`.
        on_bad_image: as for `levit.evaluate`.
        batch_size: as for `levit.evaluate`.
        find_duplicates: as for `levit.evaluate`.
        duplicates_progress: as for `levit.evaluate`.
        on_prediction: callback for each evaluated image with the prediction of the first model.
        progress: wraps the iterator over the predictions of the first model.

    Raises:
        ConfigError, DataError, ImageError: as for `levit.evaluate`.
    """
    images, classifiers = read_once(data), [classifier] if compare is None else [classifier, compare]
    kept, num_excluded = exclude_quantization_images([model.artifact for model in classifiers], images)
    counters = [TrainingImageCounter(model) for model in classifiers]
    compared = ComparisonAccumulator(recorded := RecordedPredictions())
    callbacks = [call_all(None if compare is None else recorded.add, on_prediction), compared.add]
    readers = share_pass(kept, len(classifiers))
    passes = [
        SingleLabelPass(
            model, reader, class_map, on_bad_image, call_all(counter.count, callback),
            data_classes_only=data_classes_only,
        )
        for model, reader, counter, callback in zip(classifiers, readers, counters, callbacks, strict=False)
    ]  # fmt: skip
    _run_in_turns(passes, batch_size, progress)
    for model, counter in zip(classifiers, counters, strict=True):
        counter.warn(len(kept))
        warn_of_own_images(model.artifact, images, num_excluded=num_excluded)
    found = duplicates_of(images, num_excluded, duplicates_progress) if find_duplicates else None
    evaluation, *others = [
        model_pass.result(split=split_of(images), duplicates=found, num_excluded=num_excluded, is_timed=compare is None)
        for model_pass in passes
    ]
    if compare is not None:
        given = (_file(classifier), _file(compare))
        evaluation = replace(evaluation, comparison=compared.result(evaluation, *others, given=given))
    return evaluation


def _file(classifier: Classifier) -> str:
    return "" if classifier.path is None else str(classifier.path)


def _run_in_turns(passes: Sequence[SingleLabelPass], batch_size: int, progress: Progress) -> None:
    with ExitStack() as stack:
        steps = [
            stack.enter_context(closing(model_pass.steps(batch_size, without_progress if number else progress)))
            for number, model_pass in enumerate(passes)
        ]
        for _ in zip_longest(*steps):  # one step of each model in turn
            pass
