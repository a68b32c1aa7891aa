"""Class activation maps: the logit of a class as the mean of one value for each of the last tokens."""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from levit.deployment.node_names import HEAD, MATMUL, POOL
from levit.runtime.engine import ImageEngine
from levit.runtime.opened_model import ModelOptions
from levit.runtime.rewritten_graph import OUTPUT_KEY, MissingOutputError, open_rewritten
from levit.spec.architecture import Architecture
from levit.spec.artifact import Artifact


def open_token_network(options: ModelOptions, artifact: Artifact) -> ImageEngine:
    """Open the network of a model with one row of logits for each of its last tokens.

    Args:
        options: model, engine and precision. For an engine other than those of ONNX files, the fastest one is used.
        artifact: description of the model.

    Returns:
        An engine whose output is float32 [B, tokens * classes].

    Raises:
        MissingOutputError: the model is an opened engine, or its file is not one that levit exported.
    """
    hint = "give the file, or use `method` occlusion"
    return open_rewritten(options, artifact, with_token_logits, output="class activation maps", hint=hint).image_engine


def token_logits(engine: ImageEngine, pixels: NDArray[np.uint8], architecture: Architecture) -> NDArray[np.float32]:
    """Logits of each of the last tokens, whose mean over the tokens is the logits of the image.

    Args:
        engine: result of `open_token_network`.
        pixels: network input, uint8 [height, width, 3].
        architecture: of the network.

    Returns:
        float32 [rows, columns, classes].
    """
    output = engine.run_images(pixels[None])
    return output.reshape(*architecture.stage_grids[-1], architecture.num_labels)


def with_token_logits(model: Path | bytes) -> bytes:
    """An exported network that applies its head to each of the last tokens, instead of to their mean.

    The head is linear, so that the mean of its values is its value of the mean.

    Args:
        model: an ONNX file written by `levit.export`, or its content.

    Returns:
        Content of an ONNX file with the output `token_logits`, float32 [N, tokens * classes].

    Raises:
        MissingOutputError: the network does not end in the mean of tokens and a head, so levit did not export it.
    """
    import onnx

    from levit.deployment.graph import BATCH, OUTPUT

    network = onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    graph = network.graph
    nodes = {node.name: node for node in graph.node}
    if not {POOL, HEAD, HEAD + MATMUL} <= set(nodes):
        source = model if isinstance(model, Path) else None
        raise MissingOutputError("the file has no last tokens: it was not exported by levit", source=source)
    artifact = Artifact.from_metadata({item.key: item.value for item in network.metadata_props})
    values = prod(artifact.architecture.stage_grids[-1]) * artifact.architecture.num_labels
    pool, product = nodes[POOL], nodes[HEAD + MATMUL]
    product.input[0] = pool.input[0]
    graph.node.remove(pool)
    shape = onnx.numpy_helper.from_array(np.array([0, values], np.int64), "shape.token_logits")
    graph.initializer.append(shape)
    graph.node.append(onnx.helper.make_node("Reshape", [OUTPUT, shape.name], ["token_logits"], "token_logits"))
    for field in (graph.output, graph.value_info):  # shapes of the logits are others
        del field[:]
    output = onnx.helper.make_tensor_value_info("token_logits", onnx.TensorProto.FLOAT, [BATCH, values])
    graph.output.append(output)
    network.metadata_props.add(key=OUTPUT_KEY, value='"token_logits"')
    content: bytes = network.SerializeToString()
    return content
