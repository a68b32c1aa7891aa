"""Accuracies of a network before masking, with masks, and after fine-tuning with them."""

from __future__ import annotations

from os import PathLike
from typing import NamedTuple

from levit.checkpoints.checkpoint import Checkpoint
from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_data
from levit.deployment.build import build_artifact
from levit.evaluation.prepared_images import prepare_images
from levit.runtime.engine import open_engine
from levit.spec.artifact import Accuracy


class Accuracies(NamedTuple):
    """Accuracies on the same images.

    Attributes:
        before: the network without masks.
        masked: the network with masks, without fine-tuning.
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
) -> Accuracies | None:
    """Measure the accuracies in fp32.

    Args:
        before: the network without masks.
        masked: the network with masks.
        fine_tuned: the network after fine-tuning; None if there is none yet.
        evaluation: labeled images: a path or name as for `levit.open_data`, or a data set.

    Returns:
        The accuracies; None if no image has a label of the network.

    Raises:
        DataError: the images cannot be used.
        ExportError: a network has no head.
        ImageError: an image cannot be read.
    """
    data = open_data(evaluation) if isinstance(evaluation, str | PathLike) else evaluation
    with prepare_images(data, before.preprocessing, sha256=data.sha256(), labels=before.labels) as images:

        def accuracy(checkpoint: Checkpoint) -> Accuracy | None:
            engine = open_engine(build_artifact(checkpoint).SerializeToString(), precision="fp32")
            return images.accuracy(engine, images.compute_logits(engine))

        first, second = accuracy(before), accuracy(masked)
        third = None if fine_tuned is None else accuracy(fine_tuned)
    return None if first is None or second is None else Accuracies(first, second, third)
