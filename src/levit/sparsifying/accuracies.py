"""Accuracies of a network before masking, with masks, and after fine-tuning with them."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import NamedTuple

from levit.checkpoints.checkpoint import Checkpoint
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_data
from levit.deployment.build import build_artifact
from levit.errors import DataError
from levit.evaluation.prepared_images import prepare_images
from levit.runtime.engine import open_engine
from levit.spec.artifact import Accuracy


class Accuracies(NamedTuple):
    """Accuracies on the same images.

    Attributes:
        before: the network as it was given, with the masks that it had, if any.
        masked: the network with the chosen masks, without fine-tuning.
        fine_tuned: the network after fine-tuning with the masks; None if there is none yet.
    """

    before: Accuracy
    masked: Accuracy
    fine_tuned: Accuracy | None


def measure_accuracies(
    before: Checkpoint,
    masked: Checkpoint,
    fine_tuned: Checkpoint | None,
    evaluation: str | PathLike[str] | LabeledDataset,
    *,
    class_map: Mapping[str, str] | None = None,
    allow_outside: bool = False,
) -> Accuracies:
    """Measure the accuracies in fp32.

    Each network has the preprocessing and the labels that it was saved with.

    Args:
        before: the network as it was given.
        masked: the network with the chosen masks.
        fine_tuned: the network after fine-tuning; None if there is none yet.
        evaluation: labeled images: a path or name as for `levit.open_data`, or a data set.
        class_map: label of the networks for classes of the data whose names differ from it.
        allow_outside: whether a table of images may name files outside its folder.

    Raises:
        DataError: the images cannot be used, or have no labels.
        ExportError: a network has no head.
        ImageError: no image can be read.
    """
    if isinstance(evaluation, str | PathLike):
        evaluation = open_data(evaluation, allow_outside=allow_outside)
    first, second = _measure(evaluation, class_map, before, masked)
    third = None if fine_tuned is None else _measure(evaluation, class_map, fine_tuned)[0]
    return Accuracies(first, second, third)


def _measure(data: LabeledDataset, class_map: Mapping[str, str] | None, *checkpoints: Checkpoint) -> list[Accuracy]:
    """Accuracies of networks with the same preprocessing and the same labels."""
    preprocessing, labels = checkpoints[0].preprocessing, checkpoints[0].labels
    accuracies = []
    with prepare_images(data, preprocessing, sha256=data.sha256(), labels=labels, class_map=class_map) as images:
        for checkpoint in checkpoints:
            engine = open_engine(build_artifact(checkpoint).SerializeToString(), precision="fp32")
            accuracy = images.accuracy(engine, images.compute_logits(engine))
            if accuracy is None:
                raise DataError("has no labels", source=data.name, hint="give labeled images")
            accuracies.append(accuracy)
    return accuracies
