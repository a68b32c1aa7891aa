"""Images of a data set that determined the ranges of an int8 model, and on which its accuracy would be optimistic."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from levit.data.labeled_images import LabeledDataset
from levit.data.subsets import Subset, without_quantization_images
from levit.errors import LevitWarning
from levit.spec.artifact import Artifact


def count_quantization_images(artifacts: Iterable[Artifact], data: LabeledDataset) -> int:
    """Number of images of a data set that determined the ranges of int8 models, according to their metadata.

    The hash of the data set is computed only where a model was quantized on data of the same name.

    Args:
        artifacts: descriptions of the models.
        data: the data set. A subset of another one has no such images, because its images were chosen on purpose.

    Returns:
        The largest number of the models, for `levit.data.subsets.without_quantization_images`; 0 where no other image
        would remain.
    """
    if isinstance(data, Subset):
        return 0
    records = [artifact.quantization for artifact in artifacts]
    counts = [
        record.images
        for record in records
        if record is not None and record.data == data.name and record.sha256 == data.sha256()
    ]
    return count if (count := max(counts, default=0)) < len(data) else 0


def exclude_quantization_images(
    artifacts: Iterable[Artifact], data: LabeledDataset, count: int | None
) -> tuple[LabeledDataset, int]:
    """Data set without the images that determined the ranges of int8 models, and the number of these images.

    Args:
        artifacts: descriptions of the models.
        data: the data set.
        count: number of images to exclude; None for that of `count_quantization_images`.
    """
    if count is None:
        count = count_quantization_images(artifacts, data)
    return without_quantization_images(data, count), min(count, len(data))


def warn_of_own_images(artifact: Artifact, data: LabeledDataset, *, num_excluded: int | None) -> None:
    """Warn where a model was quantized or calibrated on the images of an evaluation; called after the pass over them.

    Args:
        artifact: description of the model.
        data: the data set of the evaluation.
        num_excluded: number of quantization images that were left out; None if the caller chose the images.
    """
    if isinstance(data, Subset) or (artifact.quantization is None and artifact.rejection is None):
        return
    name, sha256 = artifact.source.name, data.sha256()
    quantization, rejection = artifact.quantization, artifact.rejection
    if quantization is not None and quantization.sha256 == sha256 and num_excluded == 0:
        hint = f": give `quantization_images` {quantization.images}" if quantization.images < len(data) else ""
        count = f"{quantization.images:,} of these images"
        text = f"{name} was quantized with {count}, so its accuracy is optimistic{hint}"
        warnings.warn(text, LevitWarning, stacklevel=3)
    if rejection is not None and rejection.sha256 == sha256:
        text = f"{name} was calibrated on these images, so its calibration error is optimistic"
        warnings.warn(text, LevitWarning, stacklevel=3)
