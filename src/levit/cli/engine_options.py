"""How a model is found and runs, as several commands ask for it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Engine(StrEnum):
    """What computes the network."""

    AUTO = "auto"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    TORCH = "torch"


class Precision(StrEnum):
    """Precision of the arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


class Preprocessing(StrEnum):
    """How images are decoded and resized."""

    FAST = "fast"
    EXACT = "exact"


EngineOption = Annotated[Engine, typer.Option(help="What computes the network; auto is the fastest that is installed.")]
PrecisionOption = Annotated[
    Precision, typer.Option(help="Of the arithmetic; auto is int8 where the model is quantized, or bf16, or fp32.")
]
PreprocessingOption = Annotated[Preprocessing, typer.Option(help="fast, or exact: bit for bit as Pillow.")]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="How many images to compute at once.")]
RevisionOption = Annotated[str | None, typer.Option(help="Branch, tag or commit, for a name on the hub.")]
