"""Exported models in OpenVINO's own format: a graph in `….xml`, and its weights in `….bin` beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx

from levit.errors import EngineError, ExportError, last_line
from levit.exporting.artifact_files import artifact_of
from levit.exporting.verification import TOLERANCE, noise
from levit.files import updating_folder
from levit.runtime.openvino_core import OPENVINO_GUARD, openvino, openvino_core
from levit.runtime.openvino_engine import OpenVinoEngine
from levit.runtime.openvino_graph import fuse_quantization, is_quantized


def write_openvino(model: onnx.ModelProto, path: Path) -> int:
    """Write a model as OpenVINO IR, which needs no conversion when it is opened, and verify its logits on noise.

    Inputs and outputs have the names of the ONNX file. Its metadata are in the section `framework` of `rt_info`. Of an
    int8 model, each pair of QuantizeLinear and DequantizeLinear is one FakeQuantize, which OpenVINO computes faster.

    Args:
        model: the model.
        path: the file of the graph, `….xml`; its weights are written beside it.

    Returns:
        Size of both files in bytes.

    Raises:
        ExportError: the files cannot be written, or OpenVINO cannot read them or computes other logits from them.
    """
    content = model.SerializeToString()
    try:
        with updating_folder(path.parent, last=(path.name,)) as folder:
            _save(content, folder / path.name)
            difference = _difference(content, folder / path.name, model)
            if not difference <= TOLERANCE["fp32"]:
                reason = f"the written file differs from the model by {difference:.1e} of the largest logit"
                raise ExportError(reason, source=path, hint="OpenVINO or levit has a bug to report")
    except OSError as error:
        raise ExportError(f"cannot be written ({error.strerror})", source=path) from error
    except RuntimeError as error:  # by OpenVINO, for a full disk as well
        raise ExportError(f"cannot be written ({last_line(error)})", source=path) from error
    except EngineError as error:
        raise ExportError(f"cannot be written ({error.reason})", source=path) from error
    return path.stat().st_size + path.with_suffix(".bin").stat().st_size


def _save(content: bytes, file: Path) -> None:
    with OPENVINO_GUARD.preparing():
        network = openvino_core().read_model(content)
        if is_quantized(network):
            fuse_quantization(network)
        openvino.save_model(network, str(file), compress_to_fp16=False)
        openvino_core().read_model(file)  # refuses a file that is incomplete


def _difference(content: bytes, file: Path, model: onnx.ModelProto) -> float:
    """Largest difference of a logit of a file to those of the model, relative to the largest logit, on noise."""
    pixel_values = noise(artifact_of(model).architecture)
    logits = []
    for source in (content, file):
        with OpenVinoEngine(source, precision="fp32") as engine:
            logits.append(engine.run(pixel_values))
    expected, found = logits
    return float(np.abs(found - expected).max() / (np.abs(expected).max() or 1.0))
