"""Pooled features: the exported network without its classification head."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from levit.checkpoints.cache import cache_folder
from levit.checkpoints.checkpoint import Checkpoint
from levit.deployment.node_names import HEAD, POOL, WEIGHT
from levit.errors import EngineError
from levit.runtime.engine import ENGINES, open_engine
from levit.runtime.model_resolution import find_artifact, fold_checkpoint
from levit.runtime.normalizing_engine import as_image_engine
from levit.runtime.opened_model import ModelOptions, OpenedModel

_ENGINES = ("openvino", "onnxruntime")  # those that compute any ONNX graph, fastest first
_OUTPUT_KEY = "levit.output"  # in the metadata, which distinguish compiled networks in the cache


def open_features(options: ModelOptions, opened: OpenedModel) -> OpenedModel:
    """Open the network of a model up to its pooled features, in the engine and precision of its options.

    Args:
        options: options with which the classifier was opened. For an engine other than those of ONNX files, such as
            torch, the fastest one is used.
        opened: the opened model.

    Returns:
        An engine whose output is float32 [B, hidden_sizes[-1]].

    Raises:
        EngineError: the model is an opened engine, or its file is not one that levit exported.
    """
    model = options.model
    if isinstance(model, Checkpoint):
        content: Path | bytes = fold_checkpoint(model)
    elif model is None or isinstance(model, str | Path):
        content = find_artifact(model, revision=options.revision)
    else:
        reason = "features need the model's file, and an opened engine has only its logits"
        raise EngineError(reason, source=opened.artifact.source.name, hint="give the classifier the file")
    is_usable = options.engine in _ENGINES
    engine = open_engine(
        without_head(content),
        engine=options.engine if is_usable else next(filter(_is_installed, _ENGINES), _ENGINES[0]),
        precision=options.precision,
        threads=options.threads,
        provider=options.provider if is_usable else None,
        cache_dir=cache_folder("compiled"),
    )
    image_engine = as_image_engine(engine, opened.artifact.preprocessing)
    return OpenedModel(engine, image_engine, opened.artifact, owns_engine=True)


def _is_installed(name: str) -> bool:
    return find_spec(ENGINES[name].package) is not None


def without_head(model: Path | bytes) -> bytes:
    """An exported network whose output is the mean of its last tokens, without the head.

    Args:
        model: an ONNX file written by `levit.export`, or its content.

    Returns:
        Content of an ONNX file with the output `pool`, float32 [N, hidden_sizes[-1]].

    Raises:
        EngineError: the network has no weights of a head, so levit did not export it.
    """
    import onnx

    from levit.deployment.graph import BATCH

    network = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    graph = network.graph
    widths = [tensor.dims[0] for tensor in graph.initializer if tensor.name.startswith(HEAD + WEIGHT)]  # also in fp16
    if not widths:
        source = model if isinstance(model, Path) else None
        raise EngineError("the file has no pooled features: it was not exported by levit", source=source)
    needed, kept = {POOL}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    initializers = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, values in ((graph.node, reversed(kept)), (graph.initializer, initializers)):
        copies = [type(value).FromString(value.SerializeToString()) for value in values]
        del field[:]
        field.extend(copies)
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info(POOL, onnx.TensorProto.FLOAT, [BATCH, *widths]))
    network.metadata_props.add(key=_OUTPUT_KEY, value='"features"')
    content: bytes = network.SerializeToString()
    return content
