"""Images of a data set that determined the ranges of an int8 model, and on which its accuracy would be optimistic."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from levit.data.labeled_images import LabeledDataset
from levit.data.subsets import Subset, without_quantization_images
from levit.errors import LevitWarning
from levit.spec.artifact import Artifact


def exclude_quantization_images(artifacts: Sequence[Artifact], data: LabeledDataset) -> tuple[LabeledDataset, int]:
    """Data set without the images that determined the ranges of int8 models, and the number of these images.

    The data set is compared by its hash, which is computed only where a model is in int8.

    Args:
        artifacts: descriptions of the models.
        data: the data set. Nothing is excluded of a subset of another one, because its images were chosen on purpose,
            nor where no other image would remain.
    """
    records = [artifact.quantization for artifact in artifacts if artifact.quantization is not None]
    if not records or isinstance(data, Subset):
        return data, 0
    sha256 = data.sha256()
    count = max((record.images for record in records if record.sha256 == sha256), default=0)
    return (without_quantization_images(data, count), count) if count < len(data) else (data, 0)


def warn_of_own_images(artifact: Artifact, data: LabeledDataset, *, num_excluded: int) -> None:
    """Warn where a model was quantized or calibrated on the images of an evaluation; called after the pass over them.

    Args:
        artifact: description of the model.
        data: the data set of the evaluation.
        num_excluded: number of quantization images that were left out.
    """
    quantization, rejection = artifact.quantization, artifact.rejection
    if isinstance(data, Subset) or (quantization is None and rejection is None):
        return
    name, sha256 = artifact.source.name, data.sha256()
    if quantization is not None and quantization.sha256 == sha256 and not num_excluded:
        count = f"{quantization.images:,} of these images"
        warnings.warn(f"{name} was quantized with {count}, so its accuracy is optimistic", LevitWarning, stacklevel=3)
    if rejection is not None and rejection.sha256 == sha256:
        text = f"{name} was calibrated on these images, so its calibration error is optimistic"
        warnings.warn(text, LevitWarning, stacklevel=3)
