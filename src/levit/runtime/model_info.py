"""What a model is, without compiling it."""

from __future__ import annotations

from pathlib import Path

from levit.checkpoints.hub import find_weights
from levit.checkpoints.reading import read_weights
from levit.errors import CheckpointError
from levit.runtime.model_resolution import find_artifact, is_artifact
from levit.spec.artifact import Artifact


def describe(model: str | Path | None, *, revision: str | None = None) -> tuple[Artifact, int]:
    """What an artifact carries, or what an artifact of a checkpoint would; and the size of the file in bytes.

    Args:
        model: as for `levit.Classifier`.
        revision: likewise.

    Raises:
        CheckpointError: there is no such model, it is damaged, or it has no revisions.
    """
    if model is not None and not is_artifact(model):
        weights = find_weights(model, revision=revision)
        checkpoint = read_weights(weights, model)
        return checkpoint.as_artifact(checkpoint.stored_as), weights.stat().st_size
    artifact = find_artifact(model, revision=revision)
    try:
        content = artifact.read_bytes() if isinstance(artifact, Path) else artifact
    except OSError as error:
        raise CheckpointError(f"{model}: cannot be read ({error.strerror})") from error
    return _read_metadata(content, str(model)), len(content)


def _read_metadata(content: bytes, name: str) -> Artifact:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        network = onnx.load_from_string(content)
    except DecodeError as error:
        raise CheckpointError(f"{name}: not an ONNX file ({error})") from error
    try:
        return Artifact.from_metadata({pair.key: pair.value for pair in network.metadata_props})
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error


def explain(artifact: Artifact) -> tuple[str, str, str]:
    """The engine and the precision that `levit.Classifier` chooses here for a model, and why."""
    from levit.runtime.engine import fastest_installed
    from levit.runtime.openvino_engine import choose_precision

    precision, _, reason = choose_precision("auto", quantized=artifact.precision == "int8")
    return fastest_installed(), precision, reason
