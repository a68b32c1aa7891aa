"""Description of a model, read without compiling it."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path

from levit.checkpoints.cache import CACHE_VARIABLE, cache_folder
from levit.checkpoints.reading import read_checkpoint_file
from levit.checkpoints.weight_lookup import find_weights
from levit.errors import CheckpointError, EngineError, errors_name
from levit.runtime.engine import OPENVINO_SUFFIX
from levit.runtime.int8_arithmetic import has_exact_int8
from levit.runtime.model_resolution import find_artifact, is_artifact
from levit.runtime.onnx_metadata import read_metadata
from levit.spec.artifact import Artifact

_SPEED_PAGE = "https://levit-developers.github.io/levit/speed/"


def describe(model: str | PathLike[str] | None, *, revision: str | None = None) -> tuple[Artifact, int]:
    """Read the description of an exported file, or build that of a checkpoint.

    Args:
        model: model as for `levit.Classifier`.
        revision: branch, tag or commit, for a checkpoint on the hub.

    Returns:
        The description, and the size of the file in bytes.

    Raises:
        CheckpointError: the model does not exist, is damaged, or has no revisions.
    """
    if model is not None and not is_artifact(model):
        weights = find_weights(model, revision=revision)
        checkpoint = read_checkpoint_file(weights, model)
        return checkpoint.as_artifact(checkpoint.stored_precision), weights.stat().st_size
    artifact = find_artifact(model, revision=revision)
    source = "the embedded model" if model is None else fspath(model)
    if isinstance(artifact, Path) and artifact.suffix.lower() == OPENVINO_SUFFIX:
        return _describe_openvino(artifact)
    try:
        metadata = read_metadata(artifact)
    except EngineError as error:
        raise CheckpointError(error.reason, source=source) from error
    with errors_name(source):
        size = artifact.stat().st_size if isinstance(artifact, Path) else len(artifact)
        return Artifact.from_metadata(metadata), size


def _describe_openvino(graph: Path) -> tuple[Artifact, int]:
    from levit.runtime.openvino_engine import OpenVinoEngine

    with OpenVinoEngine(graph) as engine, errors_name(graph):
        artifact = Artifact.from_metadata(engine.metadata)
    return artifact, graph.stat().st_size + graph.with_suffix(".bin").stat().st_size


def native_engine() -> str:
    """Describe the native engine on this machine: its instruction set, or the reason why it is not installed."""
    from levit.runtime.native_library import instruction_sets

    try:
        fastest, *others = instruction_sets()
    except EngineError as error:
        return error.reason
    return f"{fastest} (also available: {', '.join(others)})" if others else fastest


def default_execution(artifact: Artifact, file: Path | None = None) -> tuple[str, str, str]:
    """Predict how `levit.Classifier` runs a model on this machine by default.

    Args:
        artifact: description of the model.
        file: its exported file, which the native engine may have refused before; None for a checkpoint.

    Returns:
        Name of the engine, precision, and the reasons for both.
    """
    from levit.runtime.engine import default_engine
    from levit.runtime.fastest_engine import native_is_fastest
    from levit.runtime.native_library import chosen_instruction_set
    from levit.runtime.native_precision import choose_native_precision

    quantized = artifact.precision == "int8"
    is_native, reason = native_is_fastest(artifact)
    folder, engine = cache_folder("compiled"), default_engine()
    if is_native and engine != "native" and folder is not None and file is not None:
        refusal = _native_refusal(file, folder)
        if refusal is not None:
            is_native, reason = False, f"the native engine is not used: {refusal}"
    if is_native and engine != "native" and folder is None:
        is_native, reason = False, f"the native engine is not used: it needs a cache folder, see {CACHE_VARIABLE}"
    if engine == "native" or is_native:
        chosen = choose_native_precision("auto", quantized=quantized, instruction_set=chosen_instruction_set())
        return "native", chosen.precision, f"{reason}; {chosen.reason}"
    if engine == "onnxruntime":
        return engine, "int8" if quantized else "fp32", f"OpenVINO is not installed; {reason}"
    from levit.runtime.openvino_engine import choose_openvino_precision  # imports OpenVINO

    choice = choose_openvino_precision("auto", quantized=quantized)
    exactness = {
        True: "; this processor sums int8 exactly, with VNNI",
        False: f"; this processor has no VNNI: int8 sums saturate, and some predictions differ, see {_SPEED_PAGE}",
        None: "",
    }
    suffix = exactness[has_exact_int8()] if choice.precision == "int8" else ""
    return engine, choice.precision, f"{choice.reason}{suffix}; {reason}"


def _native_refusal(file: Path, folder: Path) -> str | None:
    """Why `engine="auto"` leaves a file to another engine, although the native one is faster for its size."""
    from levit.runtime.external_data import has_external_data
    from levit.runtime.native_models import can_keep, find_refusal

    if file.suffix.lower() == OPENVINO_SUFFIX:
        return "the file is in OpenVINO's format"
    if has_external_data(file):
        return "the weights are in other files"
    if (refusal := find_refusal(file, folder)) is not None:
        return refusal.reason
    return None if can_keep(file, folder) else f"it is not in the cache, which cannot be written, see {CACHE_VARIABLE}"
