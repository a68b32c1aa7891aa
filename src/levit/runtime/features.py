"""Pooled features: the exported network without its classification head."""

from __future__ import annotations

from pathlib import Path

from levit.deployment.node_names import HEAD, POOL, WEIGHT
from levit.runtime.opened_model import OpenedModel
from levit.runtime.rewritten_graph import OUTPUT_KEY, MissingOutputError, open_rewritten


def open_features(opened: OpenedModel) -> OpenedModel:
    """Open the network of a model up to its pooled features, in the engine and precision of its options.

    Args:
        opened: the opened model. For an engine other than those of ONNX files, such as torch, the fastest one is used.

    Returns:
        An engine whose output is float32 [B, hidden_sizes[-1]].

    Raises:
        MissingOutputError: the model is an opened engine, or its file is not one that levit exported.
    """
    return open_rewritten(
        opened.options,
        opened.artifact,
        without_head,
        output="pooled features",
        hint="give the classifier the file",
        is_native=True,
    )


def without_head(model: Path | bytes) -> bytes:
    """An exported network whose output is the mean of its last tokens, without the head.

    Args:
        model: an ONNX file written by `levit.export`, or its content.

    Returns:
        Content of an ONNX file with the output `pool`, float32 [N, hidden_sizes[-1]].

    Raises:
        MissingOutputError: the network has no weights of a head, so levit did not export it.
    """
    import onnx

    from levit.deployment.graph import BATCH

    network = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    graph = network.graph
    widths = [tensor.dims[0] for tensor in graph.initializer if tensor.name.startswith(HEAD + WEIGHT)]  # also in fp16
    if not widths:
        source = model if isinstance(model, Path) else None
        raise MissingOutputError("the file has no pooled features: it was not exported by levit", source=source)
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
    network.metadata_props.add(key=OUTPUT_KEY, value='"features"')
    content: bytes = network.SerializeToString()
    return content
