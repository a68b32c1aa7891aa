"""Pooled features: the exported network without its classification head."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from levit.deployment.node_names import HEAD, POOL, WEIGHT
from levit.errors import EngineError
from levit.fork_safe_lock import ForkSafeLock
from levit.runtime.opened_model import KEPT_MODELS, ModelOptions, OpenedModel, open_shared
from levit.runtime.rewritten_graph import OUTPUT_KEY, open_rewritten

_sharing = ForkSafeLock()  # held while the network of unpickled classifiers is opened


class FeatureNetwork:
    """Network of the pooled features of one classifier, opened on first use, once for all threads.

    Args:
        options: options of the classifier.
        is_shared: True for an unpickled classifier: all copies in a process use one network, which stays open.
    """

    def __init__(self, options: ModelOptions, *, is_shared: bool = False) -> None:
        self._options, self._is_shared = options, is_shared
        self._lock = ForkSafeLock()
        self._network: OpenedModel | None = None
        self._is_closed = False

    def open(self, opened: OpenedModel) -> OpenedModel:
        """Open the network of an opened model, or return the one that is open.

        Raises:
            EngineError: it was closed; or as for `open_features`.
        """
        with self._lock:
            if self._is_closed:
                raise EngineError("the engine is closed", hint="open a new one")
            if self._network is None:
                shared = self._is_shared
                self._network = _open_shared_once(self._options) if shared else open_features(self._options, opened)
            return self._network

    def close(self) -> None:
        """Finish the computations in progress, and free the network; one that is shared stays open."""
        with self._lock:
            if self._is_shared:
                return
            self._is_closed = True
            if self._network is not None:
                self._network.close()

    def __getstate__(self) -> dict[str, Any]:
        """The options, for `pickle`; each process opens the network itself."""
        return {"options": self._options, "is_shared": self._is_shared}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the options; the network is opened on first use."""
        FeatureNetwork.__init__(self, **state)


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
    return open_rewritten(
        options,
        opened.artifact,
        without_head,
        output="pooled features",
        hint="give the classifier the file",
        is_native=True,
    )


def _open_shared_once(options: ModelOptions) -> OpenedModel:
    with _sharing:
        return _open_shared(options)


@lru_cache(maxsize=KEPT_MODELS)
def _open_shared(options: ModelOptions) -> OpenedModel:
    """Open the features once for all unpickled classifiers of this process, since each task of a pool unpickles one."""
    return open_features(options, open_shared(options))


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
    network.metadata_props.add(key=OUTPUT_KEY, value='"features"')
    content: bytes = network.SerializeToString()
    return content
