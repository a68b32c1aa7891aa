"""A model whose graph has another output than logits, opened in the engine and precision of its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from levit.checkpoints.cache import cache_folder
from levit.checkpoints.recognition import is_checkpoint
from levit.errors import EngineError
from levit.runtime.engine import ENGINES, EXPORT_ENGINES, OPENVINO_SUFFIX, default_engine, open_engine
from levit.runtime.model_resolution import find_artifact, fold_checkpoint
from levit.runtime.opened_model import ModelOptions, OpenedModel
from levit.spec.artifact import Artifact

OUTPUT_KEY = "levit.output"  # in the metadata, which distinguish compiled networks in the cache


class MissingOutputError(EngineError):
    """The output cannot be had from this form of the model, so that a second attempt fails, too."""


def open_rewritten(
    options: ModelOptions,
    artifact: Artifact,
    rewrite: Callable[[Path | bytes], bytes],
    *,
    output: str,
    hint: str,
    is_native: bool = False,
) -> OpenedModel:
    """Open a model with another output.

    Args:
        options: model, engine and precision. For an engine that does not compute the output, such as torch, the
            fastest one that does is used.
        artifact: description of the model.
        rewrite: function from an exported ONNX file, or its content, to the content of one with the output.
        output: name of the output in errors, a plural.
        hint: hint of the error about an opened engine.
        is_native: whether the native engine computes the output.

    Raises:
        MissingOutputError: the model is an opened engine or in OpenVINO's format, or its file is not one that levit
            exported.
        EngineError: another model has replaced it since it was opened, or it cannot be opened.
    """
    model = options.model
    if is_checkpoint(model):
        content: Path | bytes = fold_checkpoint(model)
    elif model is None or isinstance(model, str | Path):
        content = find_artifact(model, revision=options.revision)
    else:
        reason = f"{output} need the model's file, and an opened engine has only its logits"
        raise MissingOutputError(reason, source=artifact.source.name, hint=hint)
    if isinstance(content, Path) and content.suffix.lower() == OPENVINO_SUFFIX:
        reason = f"in OpenVINO's format, which has no {output}"
        raise MissingOutputError(reason, source=content, hint="give the ONNX file")
    fastest = "auto" if is_native else default_engine()
    is_usable = options.engine in ENGINES or (is_native and options.engine in ("auto", *EXPORT_ENGINES))
    engine = open_engine(
        rewrite(content),
        engine=options.engine if is_usable else fastest,
        precision=options.precision,
        threads=options.threads,
        provider=options.provider if is_usable else None,
        cache_dir=cache_folder("compiled"),
    )
    found = Artifact.from_metadata(engine.metadata)
    if (found.architecture, found.labels) != (artifact.architecture, artifact.labels):
        raise EngineError("another model has replaced it since it was opened", source=artifact.source.name)
    return OpenedModel(options, engine, artifact, owns_engine=True)
