"""Checkpoint -> a verified ONNX file."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

import onnx
from google.protobuf.message import DecodeError

from levit import __version__
from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.from_model import TorchModel, checkpoint_from_model
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.weight_lookup import check_no_revision
from levit.data.open_data import open_data
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.deployment.build import build_artifact
from levit.errors import CheckpointError, ExportError
from levit.exporting.int8 import CALIBRATION_IMAGES, artifact_of, make_int8
from levit.exporting.verification import verify
from levit.spec.architecture import Grid
from levit.spec.artifact import Accuracy, Artifact, Rejection

Storage = Literal["fp32", "fp16", "int8"]
MAX_DROP = 0.5  # points of top-1, where they are measured and nothing else is asked for


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        path: the file.
        artifact: what it carries; for int8 with the accuracy before and after and the layers left in floating point.
        max_difference: largest difference of a logit to the checkpoint's, as a share of the largest logit; for int8
            that of the network before it was quantized.
        num_bytes: size of the file.
    """

    path: Path
    artifact: Artifact
    max_difference: float
    num_bytes: int


def export(
    checkpoint: str | Path | Checkpoint | TorchModel,
    path: str | Path,
    *,
    precision: Storage = "fp32",
    size: int | Grid | None = None,
    calibration: str | Path | None = None,
    calibration_images: int | None = None,
    evaluation: str | Path | None = None,
    max_drop: float | None = None,
    revision: str | None = None,
) -> ExportReport:
    """Write one ONNX file that runs anywhere, and verify it before it is called done.

    Input `pixel_values` float32 [N, 3, height, width], output `logits` float32 [N, classes], opset 17, dynamic batch,
    with labels, preprocessing and source in the metadata. The file runs in forced fp32 against the reference; if it
    differs, nothing is left behind. One in int8 is compared with fp32 on real images besides.

    Args:
        checkpoint: what `levit.read_checkpoint` takes or gives, or a network of levit or transformers in memory.
        path: the file to write, `….onnx`; an existing one is replaced when the new one is complete and verified.
        precision: how the weights are kept. "fp16" halves the file, and the arithmetic stays float32; "int8" computes
            in int8 too.
        size: another image size than the trained one, as its side or (height, width): the attention biases are
            interpolated.
        calibration: for int8: images like those that the network will see, a folder or a parquet file.
        calibration_images: how many of them to use at most; None for 1000.
        evaluation: for int8: labeled images, a folder with one subfolder for each class or a parquet file; the
            accuracy before and after goes into the file. Where it is the same as `calibration`, the images that
            calibrated are left out.
        max_drop: for int8, with `evaluation`: how many points of top-1 may be lost before layers are returned to
            floating point; 0.5 where nothing is given.
        revision: branch, tag or commit, for a checkpoint on the hub.

    Raises:
        CheckpointError: the checkpoint cannot be read, or has no revisions.
        ConfigError: the size is too small.
        DataError: the images cannot be used.
        ExportError: the file cannot be written, computes something else than the checkpoint, or loses too much in int8.

    Examples:
        >>> import levit, tempfile
        >>> model = levit.LevitForImageClassification(levit.LevitConfig.from_variant("levit-128s"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = levit.export(model, f"{folder}/model.onnx")
        >>> report.max_difference < 1e-4, report.artifact.precision
        (True, 'fp32')
    """
    target = Path(path)
    if target.suffix != ".onnx":
        raise ExportError(f"{target}: give a file name that ends in .onnx")
    if not target.parent.is_dir():
        raise ExportError(f"{target}: cannot be written ({os.strerror(errno.ENOENT)})")
    _check_options(precision, calibration, calibration_images, evaluation, max_drop)
    loaded = _load(checkpoint, revision)
    if size is not None:
        loaded = resize_checkpoint(loaded, (size, size) if isinstance(size, int) else size)
    storage: Literal["fp32", "fp16"] = "fp16" if precision == "fp16" else "fp32"
    model = build_artifact(loaded, weight_precision=storage, producer=f"levit {__version__}")
    max_difference = verify(model.SerializeToString(), loaded, storage=storage)
    if precision == "int8" and calibration is not None:
        model, _ = make_int8(
            model,
            calibration=open_data(calibration),
            calibration_images=CALIBRATION_IMAGES if calibration_images is None else calibration_images,
            evaluation=open_data(evaluation) if evaluation is not None else None,
            max_drop=MAX_DROP if max_drop is None and evaluation is not None else max_drop,
        )
    _write(model, target)
    return ExportReport(
        path=target, artifact=artifact_of(model), max_difference=max_difference, num_bytes=target.stat().st_size
    )


def record_accuracy(path: str | Path, accuracy: Accuracy) -> Artifact:
    """Write a measured accuracy into the metadata of an artifact.

    Raises:
        CheckpointError: the file was not exported by levit.
        ExportError: it cannot be written.
    """
    return _record(Path(path), accuracy=accuracy)


def record_rejection(path: str | Path, rejection: Rejection) -> Artifact:
    """Write into the metadata of an artifact when its answer is "unknown".

    Raises:
        CheckpointError: the file was not exported by levit.
        ExportError: it cannot be written.
    """
    return _record(Path(path), rejection=rejection)


def _record(target: Path, **changes: Accuracy | Rejection) -> Artifact:
    try:
        model = onnx.load(target)
    except (OSError, DecodeError) as error:
        raise CheckpointError(f"{target}: not an ONNX file ({error})") from error
    artifact = replace(artifact_of(model), **changes)  # type: ignore[arg-type]
    onnx.helper.set_model_props(model, artifact.to_metadata())
    _write(model, target)
    return artifact


def _check_options(
    precision: str,
    calibration: str | Path | None,
    calibration_images: int | None,
    evaluation: str | Path | None,
    max_drop: float | None,
) -> None:
    if precision not in get_args(Storage):
        raise ExportError(f"precision is {precision!r}: use one of {', '.join(get_args(Storage))}")
    if precision == "int8" and calibration is None:
        raise ExportError("int8 needs images to calibrate on: give calibration, a folder or a .parquet file")
    if precision != "int8" and any(one is not None for one in (calibration, calibration_images, evaluation, max_drop)):
        raise ExportError(f"calibration, evaluation and max_drop belong to precision int8, not to {precision}")
    if calibration_images is not None and calibration_images < 1:
        raise ExportError(f"calibration_images is {calibration_images}: give at least 1")
    if max_drop is not None and evaluation is None:
        raise ExportError("max_drop needs labeled images to be measured on: give evaluation")


def _load(checkpoint: str | Path | Checkpoint | TorchModel, revision: str | None) -> Checkpoint:
    if isinstance(checkpoint, str | Path):
        return read_checkpoint(checkpoint, revision=revision)
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else checkpoint_from_model(checkpoint)
    check_no_revision(revision, loaded.source.name, "a checkpoint in memory")
    return loaded


def _write(model: onnx.ModelProto, target: Path) -> None:
    """Write beside the target under a temporary name, and rename."""
    partial = target.with_name(f".{target.stem}.{uuid4().hex}.onnx")
    done = "written"
    try:
        partial.write_bytes(model.SerializeToString())
        done = "replaced"
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):  # where not even the folder is one
            partial.unlink()
        raise ExportError(f"{target}: cannot be {done} ({error.strerror})") from error
