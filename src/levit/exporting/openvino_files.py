"""Exported models in OpenVINO's own format: a graph in `….xml`, and its weights in `….bin` beside it."""

from __future__ import annotations

from pathlib import Path

import onnx

from levit.errors import ExportError, last_line
from levit.files import updating_folder
from levit.runtime.openvino_core import OPENVINO_GUARD, openvino, openvino_core
from levit.runtime.openvino_graph import fuse_quantization, is_quantized


def write_openvino(model: onnx.ModelProto, path: Path) -> int:
    """Write a model as OpenVINO IR, which needs no conversion when it is opened.

    Inputs and outputs have the names of the ONNX file. Its metadata are in the section `framework` of `rt_info`. Of an
    int8 model, each pair of QuantizeLinear and DequantizeLinear is one FakeQuantize, which OpenVINO computes faster.

    Args:
        model: the model.
        path: the file of the graph, `….xml`; its weights are written beside it.

    Returns:
        Size of both files in bytes.

    Raises:
        ExportError: the files cannot be written, or OpenVINO cannot read what it wrote.
    """
    with OPENVINO_GUARD.preparing():
        network = openvino_core().read_model(model.SerializeToString())
        if is_quantized(network):
            fuse_quantization(network)
        try:
            with updating_folder(path.parent, last=(path.name,)) as folder:
                openvino.save_model(network, str(folder / path.name), compress_to_fp16=False)
                openvino_core().read_model(folder / path.name)  # refuses a file that is incomplete
        except OSError as error:
            raise ExportError(f"cannot be written ({error.strerror})", source=path) from error
        except RuntimeError as error:  # by OpenVINO, for a full disk as well
            raise ExportError(f"cannot be written ({last_line(error)})", source=path) from error
    return path.stat().st_size + path.with_suffix(".bin").stat().st_size
