"""Options of several commands: model, engine, precision, preprocessing, output as JSON."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Engine(StrEnum):
    """Inference engine."""

    AUTO = "auto"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"
    NATIVE = "native"
    TORCH = "torch"


class Precision(StrEnum):
    """Precision of the arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


class Preprocessing(StrEnum):
    """Decoding and resizing of images."""

    FAST = "fast"
    EXACT = "exact"


def named_model(name: str | None) -> str | None:
    """The model of a name on the command line, where - is the embedded model, as no name is."""
    return None if name == "-" else name


EngineOption = Annotated[Engine, typer.Option(help="Inference engine; auto: the fastest that is installed.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="Numeric precision; auto: int8 for quantized models, otherwise bf16 if the processor supports it, "
        "else fp32."
    ),
]
PreprocessingOption = Annotated[
    Preprocessing, typer.Option(help="Image decoding and resizing; exact matches Pillow bit for bit.")
]
BatchSizeOption = Annotated[int, typer.Option(min=1, help="Number of images computed at once.")]
RevisionOption = Annotated[
    str | None, typer.Option(help="Branch, tag or commit, for a model ID on the Hugging Face Hub.")
]
ProviderOption = Annotated[
    str | None,
    typer.Option(
        help="Execution provider of onnxruntime (cpu, cuda, coreml or a full name) or device of torch (cpu, cuda, mps)."
    ),
]
PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...", help="Images, folders (searched recursively), patterns, or - for a list on stdin."
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        callback=named_model,
        help="Exported file, checkpoint or model name (see `levit models`); default: the embedded model (-).",
    ),
]
MaxPixelsOption = Annotated[
    int | None, typer.Option(min=1, help="Largest number of pixels of an image; default: 100 million.")
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="Number of threads; default: the number of cores that this process may use.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per image.")]
