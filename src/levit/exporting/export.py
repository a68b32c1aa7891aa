"""Export of a checkpoint to a verified ONNX file."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from levit import __version__
from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.from_model import TorchModel, checkpoint_from_model
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.weight_lookup import check_is_not_source, check_no_revision
from levit.data.open_data import open_data, open_split
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.deployment.build import build_artifact
from levit.deployment.graph import WeightPrecision
from levit.errors import ConfigError, ExportError
from levit.evaluation.training_images import sample_training_images
from levit.exporting.artifact_files import artifact_of, record_in_memory, write_model
from levit.exporting.int8 import QUANTIZATION_IMAGES, make_int8
from levit.exporting.verification import verify
from levit.spec.architecture import Grid
from levit.spec.artifact import Artifact
from levit.spec.choices import ExportFormat, StoredWeights

if TYPE_CHECKING:
    import onnx

SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml"}

MAX_DROP = 0.5  # default of `max_drop` with evaluation images, in percentage points of top-1


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """Result of an export.

    Attributes:
        path: the file that was written; of OpenVINO's format, that of the graph.
        artifact: metadata of the file; for int8 with the accuracy before and after quantization and the layers that
            remain in floating point.
        max_difference: maximum absolute difference of a logit to the checkpoint's, relative to the largest absolute
            logit; for int8 that of the network before quantization.
        num_bytes: size of the file in bytes; of OpenVINO's format, of both files.
    """

    path: Path
    artifact: Artifact
    max_difference: float
    num_bytes: int


def export(
    checkpoint: str | PathLike[str] | Checkpoint | TorchModel,
    path: str | PathLike[str],
    *,
    weights: StoredWeights = "fp32",
    format: ExportFormat | None = None,  # noqa: A002 (the name in other libraries)
    image_size: int | Grid | None = None,
    quantization_data: str | PathLike[str] | None = None,
    quantization_images: int | None = None,
    evaluation: str | PathLike[str] | None = None,
    max_drop: float | None = None,
    class_map: Mapping[str, str] | None = None,
    revision: str | None = None,
    allow_outside: bool = False,
) -> ExportReport:
    """Export a checkpoint to one ONNX file, after verification against the float64 reference.

    The file has the input `pixel_values` float32 [N, channels, height, width], the output `logits` float32
    [N, classes], opset 17, a dynamic batch size, and labels, preprocessing and source in its metadata. Its logits in
    fp32 arithmetic are compared with the reference; if they differ, nothing is written. An int8 network is also
    compared with fp32 on images, and a file in OpenVINO's format, once it is written, with the network on noise. The
    metadata of an exported run have hashes of up to 8,192 of its training images, so that `levit.evaluate` warns where
    a model is evaluated on them.

    Args:
        checkpoint: file, folder or model ID on the hub, as for `levit.read_checkpoint`; a checkpoint that was read; or
            a network of levit, transformers or timm in memory.
        path: file to write, `….onnx`, or `….xml` with `….bin` beside it for OpenVINO. An existing file is replaced when
            the new one is complete and verified, but not the checkpoint itself, nor a `….bin` without its `….xml`.
        weights: type of the stored weights. "fp16" halves the size of the file; the arithmetic is float32.
            "int8" also computes in int8.
        format: "onnx", which runs anywhere; or "openvino", OpenVINO's own format with the same metadata; None for that
            of the suffix.
        image_size: image size in pixels, if it differs from the trained one: one side or (height, width). The position
            biases are interpolated.
        quantization_data: for int8: images like those of the later use, as for `levit.open_data`; of data with splits,
            the training images.
        quantization_images: for int8: maximum number of quantization images; None for 1000.
        evaluation: for int8: labeled images, as for `levit.open_data`; of data with splits, the first of validation,
            test and train that exists. The accuracy before and after quantization is written into the file. If these
            are the same images as those of `quantization_data`, the ones that are used there are excluded. Images
            without a label, and those that cannot be read, are left out, and a warning counts them.
        max_drop: for int8, with `evaluation`: loss of top-1 accuracy in percentage points, above which layers are
            returned to floating point; None for 0.5.
        class_map: for int8, with `evaluation`: label of the model for classes whose names differ from it.
        revision: branch, tag or commit of a checkpoint on the hub.
        allow_outside: for int8: whether tables of images may name files outside their folder.

    Returns:
        Path, metadata, size and maximum difference of the file.

    Raises:
        CheckpointError: the checkpoint cannot be read, would be overwritten, or has no revisions.
        ConfigError: an option is invalid, or the image size is too small.
        DataError: the images cannot be used.
        ImageError: no image can be read.
        ExportError: the file cannot be written, its logits differ from the checkpoint's, or the accuracy loss in int8
            is too large.
        ImportError: NNCF is not installed, for int8.

    Examples:
        >>> import levit, tempfile
        >>> model = levit.LevitForImageClassification(levit.LevitConfig.from_variant("levit-128s"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = levit.export(model, f"{folder}/model.onnx")
        >>> report.max_difference < 1e-4, report.artifact.precision
        (True, 'fp32')
    """
    target = Path(path)
    _check_target(target, format)
    if isinstance(checkpoint, str | PathLike):
        check_is_not_source(checkpoint, *_files(target))
    _check_options(weights, quantization_data, quantization_images, evaluation, max_drop, class_map)
    loaded = _read(checkpoint, revision)
    if image_size is not None:
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        loaded = resize_checkpoint(loaded, size)
    weight_precision: WeightPrecision = "fp16" if weights == "fp16" else "fp32"
    with np.errstate(over="ignore"):  # infinite weights give logits that `verify` refuses
        model = build_artifact(loaded, weight_precision=weight_precision, producer=f"levit {__version__}")
    max_difference = verify(model.SerializeToString(), loaded, weight_precision=weight_precision)
    _record_training_images(model, checkpoint)
    if weights == "int8" and quantization_data is not None:
        model, _ = make_int8(
            model,
            quantization_data=open_split(quantization_data, "train", allow_outside=allow_outside),
            quantization_images=QUANTIZATION_IMAGES if quantization_images is None else quantization_images,
            evaluation=open_data(evaluation, allow_outside=allow_outside) if evaluation is not None else None,
            max_drop=MAX_DROP if max_drop is None and evaluation is not None else max_drop,
            class_map=class_map,
        )
    num_bytes = _write(model, target)
    return ExportReport(path=target, artifact=artifact_of(model), max_difference=max_difference, num_bytes=num_bytes)


def _record_training_images(model: onnx.ModelProto, checkpoint: str | PathLike[str] | Checkpoint | TorchModel) -> None:
    """Copy a part of the record of a training run, if the checkpoint is one, into the metadata."""
    if isinstance(checkpoint, str | PathLike) and Path(checkpoint).exists():
        images = sample_training_images(Path(checkpoint))
        if images is not None:
            record_in_memory(model, training_images=images)


def _write(model: onnx.ModelProto, target: Path) -> int:
    """Write a model in the format of the suffix, and return its size in bytes."""
    if target.suffix != SUFFIXES["openvino"]:
        return write_model(model, target)
    from levit.exporting.openvino_files import write_openvino  # imports OpenVINO, which may be missing

    return write_openvino(model, target)


def _check_target(target: Path, file_format: ExportFormat | None) -> None:
    """Check the name of the file to write, and that its folder exists."""
    if file_format is not None and file_format not in SUFFIXES:
        raise ConfigError(f"is {file_format!r}", source="format", hint=f"use one of {', '.join(SUFFIXES)}")
    suffixes = SUFFIXES.values() if file_format is None else [SUFFIXES[file_format]]
    if target.suffix not in suffixes:
        raise ExportError(f"give a file name that ends in {' or '.join(suffixes)}", source=target)
    if not target.parent.is_dir():
        raise ExportError(f"cannot be written ({os.strerror(errno.ENOENT)})", source=target)
    for weights in _files(target)[1:]:
        if weights.exists() and not target.exists():
            raise ExportError(
                f"is not of a model of OpenVINO, because there is no {target.name} beside it",
                source=weights,
                hint="give another name, or delete it",
            )


def _files(target: Path) -> list[Path]:
    """The files that are written: the target, and in OpenVINO's format its weights."""
    return [target, target.with_suffix(".bin")] if target.suffix == SUFFIXES["openvino"] else [target]


def _check_options(
    weights: str,
    quantization_data: str | PathLike[str] | None,
    quantization_images: int | None,
    evaluation: str | PathLike[str] | None,
    max_drop: float | None,
    class_map: Mapping[str, str] | None,
) -> None:
    if weights not in get_args(StoredWeights):
        hint = f"use one of {', '.join(get_args(StoredWeights))}"
        raise ConfigError(f"is {weights!r}", source="weights", hint=hint)
    if weights == "int8" and quantization_data is None:
        raise ConfigError(
            "int8 requires quantization images", hint="give `quantization_data`, such as a folder of images"
        )
    int8_options = (quantization_data, quantization_images, evaluation, max_drop, class_map)
    if weights != "int8" and any(option is not None for option in int8_options):
        raise ConfigError(
            "`quantization_data`, `quantization_images`, `evaluation`, `max_drop` and `class_map` do not apply to "
            f"weights in {weights}",
            hint="use `weights` int8",
        )
    if quantization_images is not None and quantization_images < 1:
        raise ConfigError(f"is {quantization_images}", source="quantization_images", hint="use at least 1")
    for name, value in (("max_drop", max_drop), ("class_map", class_map)):
        if value is not None and evaluation is None:
            raise ConfigError("has no effect without `evaluation`", source=name, hint="give labeled images")
    if max_drop is not None and not 0 <= max_drop < math.inf:
        raise ConfigError(f"is {max_drop:g}", source="max_drop", hint="use a finite number of at least 0")


def _read(checkpoint: str | PathLike[str] | Checkpoint | TorchModel, revision: str | None) -> Checkpoint:
    if isinstance(checkpoint, str | PathLike):
        return read_checkpoint(checkpoint, revision=revision)
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else checkpoint_from_model(checkpoint)
    check_no_revision(revision, loaded.source.name, "a checkpoint in memory")
    return loaded
