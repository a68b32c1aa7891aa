"""Checkpoint -> a verified ONNX file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import onnx
from google.protobuf.message import DecodeError

from levit import __version__
from levit.checkpoints.checkpoint import Checkpoint
from levit.checkpoints.from_model import TorchModel, checkpoint_from_model
from levit.checkpoints.hub import check_no_revision
from levit.checkpoints.reading import read_checkpoint
from levit.deployment.build import build_artifact
from levit.deployment.graph import Storage
from levit.errors import CheckpointError, ExportError
from levit.exporting.verify import TOLERANCE, verify
from levit.spec.artifact import Accuracy, Artifact


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        path: the file.
        artifact: what it carries.
        max_difference: largest difference of a logit to the checkpoint's, as a share of the largest logit.
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
    revision: str | None = None,
) -> ExportReport:
    """Write one ONNX file that runs anywhere, and verify it before it is called done.

    Input `pixel_values` float32 [N, 3, height, width], output `logits` float32 [N, classes], opset 17, dynamic batch,
    with labels, preprocessing and source in the metadata. The file runs in forced fp32 against the reference; if it
    differs, nothing is left behind.

    Args:
        checkpoint: what `levit.read_checkpoint` takes or gives, or a network of levit or transformers in memory.
        path: the file to write, `….onnx`; an existing one is replaced when the new one is complete and verified.
        precision: how the weights are kept; "fp16" halves the file, and the arithmetic stays float32.
        revision: branch, tag or commit, for a checkpoint on the hub.

    Raises:
        CheckpointError: the checkpoint cannot be read, or has no revisions.
        ExportError: the file cannot be written, or computes something else than the checkpoint.

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
    if precision not in TOLERANCE:
        raise ExportError(f"precision is {precision!r}: use {' or '.join(TOLERANCE)}")
    loaded = _load(checkpoint, revision)
    model = build_artifact(loaded, storage=precision, producer=f"levit {__version__}")
    partial = _write_partial(model, target)
    try:
        max_difference = verify(partial, loaded, storage=precision)
        _replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    metadata = {pair.key: pair.value for pair in model.metadata_props}
    return ExportReport(
        path=target,
        artifact=Artifact.from_metadata(metadata),
        max_difference=max_difference,
        num_bytes=target.stat().st_size,
    )


def record_accuracy(path: str | Path, accuracy: Accuracy) -> Artifact:
    """Write a measured accuracy into the metadata of an artifact.

    Raises:
        CheckpointError: the file was not exported by levit.
        ExportError: it cannot be written.
    """
    target = Path(path)
    try:
        model = onnx.load(target)
    except (OSError, DecodeError) as error:
        raise CheckpointError(f"{target}: not an ONNX file ({error})") from error
    artifact = Artifact.from_metadata({pair.key: pair.value for pair in model.metadata_props}).with_accuracy(accuracy)
    onnx.helper.set_model_props(model, artifact.to_metadata())
    partial = _write_partial(model, target)
    try:
        _replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return artifact


def _load(checkpoint: str | Path | Checkpoint | TorchModel, revision: str | None) -> Checkpoint:
    if isinstance(checkpoint, str | Path):
        return read_checkpoint(checkpoint, revision=revision)
    loaded = checkpoint if isinstance(checkpoint, Checkpoint) else checkpoint_from_model(checkpoint)
    check_no_revision(revision, loaded.source.name, "what is in memory")
    return loaded


def _write_partial(model: onnx.ModelProto, target: Path) -> Path:
    """Write beside the target under a temporary name, so that renaming is all that is left to do."""
    partial = target.with_name(f".{target.stem}.{uuid4().hex}.onnx")
    try:
        partial.write_bytes(model.SerializeToString())
    except OSError as error:
        with suppress(OSError):  # where not even the folder is one
            partial.unlink()
        raise ExportError(f"{target}: cannot be written ({error.strerror})") from error
    return partial


def _replace(partial: Path, target: Path) -> None:
    try:
        partial.replace(target)
    except OSError as error:
        raise ExportError(f"{target}: cannot be replaced ({error.strerror})") from error
