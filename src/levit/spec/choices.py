"""Values of options that the library and the command line share."""

from __future__ import annotations

from typing import Literal

EngineName = Literal["auto", "openvino", "onnxruntime", "native", "torch"]
"""Inference engine."""

Precision = Literal["auto", "fp32", "bf16", "int8"]
"""Precision of the arithmetic."""

PreprocessingMode = Literal["fast", "exact"]
"""Decoding and resizing of images."""

StoredWeights = Literal["fp32", "fp16", "int8"]
"""Type of the weights in an exported file, for int8 also of the arithmetic."""

ExportFormat = Literal["onnx", "openvino"]
"""Format of an exported file."""

ServerLayout = Literal["openvino-model-server", "triton"]
"""Folder of another server."""

ExplanationMethod = Literal["occlusion", "rise", "cam", "gradient-attention", "rollout"]
"""Method of explanation."""

OnBadImage = Literal["skip", "fail"]
"""Handling of images that cannot be evaluated."""

WritableDialect = Literal[
    "transformers", "timm", "timm-conv", "facebook", "facebook-conv", "mmpretrain", "mindspore", "mindspore-plain",
    "vit-pytorch", "flax",
]  # fmt: skip
"""Library whose key names and files are written."""

Activation = Literal["hardswish", "silu", "gelu", "gelu_tanh"]
"""Activation of a network."""
