"""Options of several commands: model, engine, precision, preprocessing, labeled data, output as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from levit.spec.choices import EngineName, Precision, PreprocessingMode


def named_model(name: str | None) -> str | None:
    """The model of a name on the command line, where - is the embedded model, as no name is."""
    return None if name == "-" else name


EngineOption = Annotated[EngineName, typer.Option(help="Inference engine; auto: the fastest that is installed.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        help="Numeric precision; auto: int8 for quantized models, otherwise bf16 if the processor supports it, "
        "else fp32."
    ),
]
PreprocessingOption = Annotated[
    PreprocessingMode, typer.Option(help="Image decoding and resizing; exact matches Pillow bit for bit.")
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
SplitOption = Annotated[
    str | None, typer.Option(help="Split of the data: validation, test or train; default: the first that exists.")
]
ClassMapOption = Annotated[
    str | None,
    typer.Option(metavar="FILE.json", help="JSON file that maps class names of the data to labels of the model."),
]
AllowOutsideOption = Annotated[
    bool, typer.Option("--allow-outside", help="Read images outside the folder of the data, where a table names them.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
JsonLinesOption = Annotated[bool, typer.Option("--json", help="Print one JSON object per image.")]


def read_class_map(file: str | None) -> dict[str, str] | None:
    """Read a JSON object of class names and labels.

    Raises:
        DataError: the file cannot be read, or is not an object of class names and labels.
    """
    if file is None:
        return None
    from levit.data.record_values import read_json
    from levit.errors import DataError

    mapping = read_json(Path(file))
    if not isinstance(mapping, dict) or not all(isinstance(label, str) for label in mapping.values()):
        raise DataError('give one object of class names and labels, as {"moggy": "tabby, tabby cat"}', source=file)
    return mapping
