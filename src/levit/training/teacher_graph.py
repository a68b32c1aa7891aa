"""Graphs of teachers for OpenVINO: pixels of the student to logits of its classes, from torch or from ONNX."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from levit.errors import CheckpointError, ConfigError, first_line, last_line
from levit.runtime.openvino_core import openvino, openvino_core
from levit.runtime.openvino_graph import fuse_quantization
from levit.runtime.telemetry import telemetry_disabled
from levit.spec.architecture import Grid
from levit.spec.preprocessing import Preprocessing

_operations = openvino.opset13
_interpolate = openvino.opset11.interpolate
_CHECKED_IMAGES = 3
_TOLERANCE = 1e-3  # of the largest logit
_HINT = "set `teacher_engine` to torch"


class ConversionError(ConfigError):
    """OpenVINO cannot convert a network of torch."""


def write_torch_graph(teacher: nn.Module, size: Grid, file: Path, *, source: str) -> None:
    """Convert a teacher of torch, with the conversion of its pixels, and write its graph.

    Args:
        teacher: a `Teacher` on the CPU.
        size: height and width of the student's pixels.
        file: XML file that is written, next to a file of weights.
        source: source of errors.

    Raises:
        ConversionError: OpenVINO cannot convert the network, or computes other logits.
    """
    example = torch.zeros(2, 3, *size)
    try:
        with telemetry_disabled(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's tracer
            model = openvino.convert_model(teacher, example_input=example)
        model.reshape([-1, *example.shape[1:]])
    except Exception as error:  # of torch's tracer and OpenVINO, of many types
        reason = f"OpenVINO cannot convert it ({first_line(error)})"
        raise ConversionError(reason, source=source, hint=_HINT) from error
    _check_logits(model, teacher, size, source)
    openvino.save_model(model, file, compress_to_fp16=False)


def write_onnx_graph(
    model: Path | bytes,
    file: Path,
    *,
    preprocessing: Preprocessing,
    student: Preprocessing,
    size: Grid,
    class_indices: Sequence[int],
    source: str,
) -> None:
    """Write the graph of an ONNX classifier, with the conversion of its pixels and the choice of its classes.

    Args:
        model: ONNX file, or its content: one input [N, 3, height, width], and as first output logits [N, labels].
        file: XML file that is written, next to a file of weights.
        preprocessing: mean, standard deviation and size of the classifier's pixels.
        student: preprocessing of the student.
        size: height and width of the student's pixels.
        class_indices: for each class of the student, the index of the classifier's label.
        source: source of errors.

    Raises:
        CheckpointError: the file is not such a classifier.
        ConfigError: it cannot take images of its size.
    """
    body = read_onnx(model, source)
    own_size = preprocessing.output_size or size
    pixels = _operations.parameter([-1, 3, *size], np.float32, name="pixel_values")
    converted = _convert_pixels(pixels, preprocessing, student, own_size if own_size != size else None)
    (parameter,) = body.get_parameters()
    try:
        body.reshape([-1, 3, *own_size])
        for reader in list(parameter.output(0).get_target_inputs()):
            reader.replace_source_output(converted.output(0))
        logits = body.get_results()[0].input_value(0)
        logits = _operations.gather(logits, np.array(class_indices, np.int64), np.int64(1))
        graph = openvino.Model([logits.output(0)], [pixels])
        fuse_quantization(graph)
        openvino_core().compile_model(graph, "CPU")(np.zeros((1, 3, *size), np.float32))
    except RuntimeError as error:
        height, width = own_size
        reason = f"it cannot take images of {height}x{width} ({last_line(error)})"
        raise ConfigError(reason, source=source) from error
    openvino.save_model(graph, file, compress_to_fp16=False)


def read_onnx(model: Path | bytes, source: str) -> Any:
    """Read an ONNX classifier of images as a network of OpenVINO.

    Raises:
        CheckpointError: the file is not such a classifier.
    """
    try:
        network = openvino_core().read_model(model)
    except RuntimeError as error:
        raise CheckpointError(f"OpenVINO cannot open it ({last_line(error)})", source=source) from error
    shapes = [parameter.get_partial_shape() for parameter in network.get_parameters()]
    output = network.output(0).get_partial_shape()
    is_image = len(shapes) == 1 and shapes[0].rank.is_static and len(shapes[0]) == 4
    if not is_image or not shapes[0][1].compatible(openvino.Dimension(3)):
        raise CheckpointError("its input is not [N, 3, height, width]", source=source)
    if not (output.rank.is_static and len(output) == 2 and output[1].is_static):
        raise CheckpointError("its first output is not [N, classes]", source=source)
    return network


def _check_logits(model: Any, teacher: nn.Module, size: Grid, source: str) -> None:
    """Compare the logits of a converted teacher with those of torch, both in float32.

    Raises:
        ConversionError: they differ, or OpenVINO cannot compute them.
    """
    pixels = torch.randn(_CHECKED_IMAGES, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = teacher(pixels).numpy()
    try:
        compiled = openvino_core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        logits = compiled([pixels.numpy()])[0]
    except RuntimeError as error:
        reason = f"OpenVINO cannot compute it ({last_line(error)})"
        raise ConversionError(reason, source=source, hint=_HINT) from error
    if logits.shape != expected.shape or not np.abs(logits - expected).max() <= _TOLERANCE * np.abs(expected).max():
        raise ConversionError("OpenVINO computes other logits than torch", source=source, hint=_HINT)


def _convert_pixels(pixels: Any, own: Preprocessing, student: Preprocessing, size: Grid | None) -> Any:
    """The student's pixels in the normalization and the size of a teacher, as `Teacher` computes them in torch."""
    own_scale, own_shift = (np.array(values) for values in own.scale_and_shift())
    scale, shift = (np.array(values) for values in student.scale_and_shift())
    factor, offset = own_scale / scale, own_shift - shift * own_scale / scale
    pixels = _operations.multiply(pixels, factor.astype(np.float32)[None, :, None, None])
    pixels = _operations.add(pixels, offset.astype(np.float32)[None, :, None, None])
    if size is None:
        return pixels
    return _interpolate(
        pixels, np.array(size, np.int64), "bicubic_pillow", "sizes", np.zeros(4, np.int64), np.zeros(4, np.int64),
        "pytorch_half_pixel", axes=np.array([2, 3], np.int64), cube_coeff=-0.5,
    )  # fmt: skip
