"""Check of a packed model: its logits of a random image against those of another implementation."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

import numpy as np
import onnx
from numpy.typing import NDArray

from levit.errors import first_line
from levit.runtime.int8_arithmetic import has_exact_int8
from levit.runtime.native_format import OtherFormError
from levit.runtime.native_network import NativeNetwork
from levit.spec.artifact import Artifact

# Largest difference to the reference on a random image, relative to the largest logit: rounding in another order. In
# int8 a number that is rounded to the next code changes others.
_TOLERANCES = {"int8": 0.15, "bf16": 0.1, "fp32": 1e-3}

_SMALLEST = float(np.finfo(np.float32).tiny)

_OPSET = 21  # the evaluator of onnx knows DequantizeLinear from 19 on; the operations of exported files did not change


def check_packed(packed: Mapping[str, bytes], model: onnx.ModelProto) -> None:
    """Compare the logits of a random image with those of OpenVINO, or of onnx's evaluator.

    The latter is used where OpenVINO is not installed, or its sums in int8 saturate on this processor.

    Args:
        packed: packed models by the precision of the layers that are not quantized.
        model: content of the exported file.

    Raises:
        CheckpointError: the metadata are missing or invalid.
        OtherFormError: they differ by more than rounding, or the evaluator cannot compute the graph.
    """
    artifact = Artifact.from_metadata({pair.key: pair.value for pair in model.metadata_props})
    image = random_image(artifact)
    saturates = artifact.precision == "int8" and has_exact_int8() is False
    is_openvino = find_spec("openvino") is not None and not saturates
    name = "OpenVINO" if is_openvino else "onnx"
    expected = _run_openvino(model, image) if is_openvino else evaluate(model, image)
    for precision, content in packed.items():
        native = NativeNetwork(content, threads=1)
        actual = native.run(image)
        native.close()
        if actual.shape != expected.shape:
            raise OtherFormError(f"its output has the shape {list(expected.shape)}, not {list(actual.shape)}")
        largest = max(float(np.abs(expected).max()), _SMALLEST)  # all logits may be zero
        difference = float(np.abs(actual - expected).max()) / largest
        tolerance = _TOLERANCES["int8" if artifact.precision == "int8" else precision]
        if np.isfinite(expected).all() and not difference <= tolerance:
            raise OtherFormError(f"its logits of a random image differ from those of {name} by {difference:.2g}")


def evaluate(model: onnx.ModelProto, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute an exported file with the evaluator of onnx, in numpy: about half a second for an image.

    Args:
        model: content of the exported file.
        batch: normalized images, float32 [B, channels, height, width].

    Returns:
        The first output of the graph: logits, float32 [B, classes].

    Raises:
        OtherFormError: the evaluator cannot compute the graph.

    Examples:
        >>> from levit.runtime.model_resolution import find_artifact
        >>> model = onnx.load(find_artifact(None))
        >>> evaluate(model, np.zeros((1, 3, 112, 112), np.float32)).shape
        (1, 293)
    """
    from onnx.reference import ReferenceEvaluator

    newer = onnx.ModelProto()
    newer.CopyFrom(model)
    for entry in newer.opset_import:
        if entry.domain == "":
            entry.version = max(entry.version, _OPSET)
    try:
        (logits, *_) = ReferenceEvaluator(newer).run(None, {newer.graph.input[0].name: batch})
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise OtherFormError(f"the evaluator of onnx cannot compute it ({first_line(error)})") from error
    return np.asarray(logits, np.float32)


def random_image(artifact: Artifact) -> NDArray[np.float32]:
    """Smooth random image, normalized: float32 [1, channels, height, width]."""
    shape = (1, artifact.architecture.num_channels, *artifact.architecture.image_height_width)
    steps = np.random.default_rng(0).standard_normal(shape)
    smooth = np.cumsum(np.cumsum(steps, 2), 3)
    image: NDArray[np.float32] = ((smooth - smooth.mean()) / max(smooth.std(), 1e-6)).astype(np.float32)
    return image


def _run_openvino(model: onnx.ModelProto, image: NDArray[np.float32]) -> NDArray[np.float32]:
    from levit.runtime.engine import open_engine

    return open_engine(model.SerializeToString(), engine="openvino", precision="fp32", threads=1).run(image)
