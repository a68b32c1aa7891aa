"""Check of a packed model: its logits of a random image against those of onnx's evaluator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from levit.errors import first_line
from levit.images.transform import normalize
from levit.runtime.native_format import OtherFormError, WrongLogitsError
from levit.runtime.native_network import COLORS, NativeNetwork
from levit.spec.artifact import Artifact

# Largest difference to the reference on a random image, relative to the largest logit: rounding in another order. In
# int8 a number that is rounded to the next code changes others.
_TOLERANCES = {"int8": 0.15, "bf16": 0.1, "fp32": 1e-3}

_SMALLEST = float(np.finfo(np.float32).tiny)

_OPSET = 21  # the evaluator of onnx knows DequantizeLinear from 19 on; the operations of exported files did not change


def check_packed(packed: Mapping[str, bytes], model: onnx.ModelProto) -> None:
    """Compare the logits of a random image with those of onnx's evaluator.

    It is the reference because it computes the graph by numpy alone: an engine would start threads, which a process
    that is forked later lacks, and the sums of some saturate in int8. The native engine computes the image in one
    thread; the tests check that logits depend on neither threads nor batches. It normalizes the pixels itself where an
    image has three channels.

    Args:
        packed: packed models by the precision of the layers that are not quantized.
        model: content of the exported file.

    Raises:
        CheckpointError: the metadata are missing or invalid.
        OtherFormError: the output has another shape, or the reference is not finite or cannot be computed.
        WrongLogitsError: the logits differ by more than rounding.
    """
    artifact = Artifact.from_metadata({pair.key: pair.value for pair in model.metadata_props})
    image = pixels = random_image(artifact)
    if pixels.dtype == np.uint8:
        image = normalize(pixels, artifact.preprocessing)
    expected = evaluate(model, image)
    if not np.isfinite(expected).all():
        raise OtherFormError("its logits of a random image are not finite, so they cannot be compared")
    for precision, content in packed.items():
        native = NativeNetwork(content, threads=1)
        actual = native.run(pixels)
        native.close()
        if actual.shape != expected.shape:
            raise OtherFormError(f"its output has the shape {list(expected.shape)}, not {list(actual.shape)}")
        largest = max(float(np.abs(expected).max()), _SMALLEST)  # all logits may be zero
        difference = float(np.abs(actual - expected).max()) / largest
        tolerance = _TOLERANCES["int8" if artifact.precision == "int8" else precision]
        if not difference <= tolerance:  # also where it is not a number
            raise WrongLogitsError(f"its logits of a random image differ from those of onnx by {difference:.2g}")


def evaluate(model: onnx.ModelProto, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute an exported file with the evaluator of onnx, in numpy.

    One image takes 0.2 s of processor time in the embedded model, and 1.8 s in LeViT-384 at 224 pixels.

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


def random_image(artifact: Artifact) -> NDArray[Any]:
    """Smooth random image: uint8 [1, height, width, 3], or of other channels normalized, float32 [1, channels, …]."""
    shape = (1, artifact.architecture.num_channels, *artifact.architecture.image_height_width)
    steps = np.random.default_rng(0).standard_normal(shape)
    smooth = np.cumsum(np.cumsum(steps, 2), 3)
    image: NDArray[Any] = ((smooth - smooth.mean()) / max(smooth.std(), 1e-6)).astype(np.float32)
    if artifact.architecture.num_channels == COLORS:
        image = np.clip(128 + 64 * image, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    return image
