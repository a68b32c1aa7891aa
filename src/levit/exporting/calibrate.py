"""Calibration of an exported file: temperature of its scores and threshold of rejection."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from levit.data.labeled_images import LabeledDataset
from levit.data.open_data import open_data
from levit.evaluation.rejection import find_rejection
from levit.exporting.artifact_files import check_updatable, record_rejection
from levit.runtime.classifier import Classifier
from levit.spec.artifact import Rejection


def calibrate(
    model: str | PathLike[str],
    data: str | PathLike[str] | LabeledDataset,
    *,
    split: str | None = None,
    coverage: float | None = None,
    target_precision: float | None = None,
    class_map: Mapping[str, str] | None = None,
    allow_outside: bool = False,
) -> Rejection:
    """Calibrate the scores of an exported file, and set the threshold below which its prediction is "unknown".

    Temperature and threshold are written into the metadata of the file; its network is not changed. See
    `levit.evaluation.rejection.find_rejection` for the method.

    Args:
        model: exported `.onnx` file, which is changed.
        data: labeled images as for `levit.open_data`, or a data set: images of the model's classes that it was not
            trained on, each with one label, or with several of which any is correct (ImageNet-ReaL). Those without a
            label, and those that cannot be read, are left out, and a warning counts them.
        split: name of the split ("validation", "test" or "train"), where the data has several.
        coverage: fraction of the images with a prediction other than "unknown", in (0, 1]; 0.95 if neither is given.
        target_precision: alternative to `coverage`: fraction of these predictions that must be correct, in (0, 1].
        class_map: label of the model for classes of the data set whose names differ from it.
        allow_outside: whether a table of images may name files outside its folder.

    Returns:
        The temperature, the threshold, and coverage and precision by cross-validation.

    Raises:
        CheckpointError: `model` is not an exported `.onnx` file.
        ConfigError: both fractions are given or out of range, or the model is a multi-label model.
        DataError: the data cannot be used; see `find_rejection`.
        ImageError: no image can be read.
        ExportError: the file cannot be written.
        ImportError: scipy is not installed.

    Examples:
        >>> import levit
        >>> levit.calibrate("model.pth", "examples")
        Traceback (most recent call last):
        levit.errors.CheckpointError: model.pth is not an exported file: export the checkpoint first
    """
    file = Path(model)
    check_updatable(file)
    images = open_data(data, split=split, allow_outside=allow_outside) if isinstance(data, str | PathLike) else data
    rejection = find_rejection(
        Classifier(file),
        images,
        coverage=coverage,
        target_precision=target_precision,
        class_map=class_map,
    )
    record_rejection(file, rejection)
    return rejection
