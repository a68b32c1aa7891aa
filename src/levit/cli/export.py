"""`levit export`: checkpoint in, one verified ONNX file out."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levit.cli.engine_options import RevisionOption
from levit.cli.image_size import ImageSize, parse_image_size

if TYPE_CHECKING:
    from levit.exporting.export import ExportReport


class Precision(StrEnum):
    """How the weights are kept, and in int8 computed with."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def export(
    checkpoint: Annotated[str, typer.Argument(help="A folder, a file, or a name such as facebook/levit-128S.")],
    output: Annotated[str, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
    precision: Annotated[
        Precision,
        typer.Option(help="fp16 halves the file; int8 is the fastest, and needs --calibration."),
    ] = Precision.FP32,
    calibration: Annotated[
        str | None, typer.Option(metavar="DIR|PARQUET", help="For int8: images like those it will see.")
    ] = None,
    calibration_images: Annotated[
        int | None, typer.Option(min=1, help="How many of them to use at most; default: 1000.")
    ] = None,
    evaluation: Annotated[
        str | None,
        typer.Option(metavar="DIR|PARQUET", help="For int8: labeled images, to measure accuracy on."),
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Points of top-1 that int8 may lose before layers are returned to floating point; default: 0.5.",
        ),
    ] = None,
    size: Annotated[
        ImageSize | None,
        typer.Option(
            parser=parse_image_size,
            metavar="256|256x192",
            help="Another image size than the trained one, height first.",
        ),
    ] = None,
    revision: RevisionOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
) -> None:
    """Export a checkpoint to one ONNX file that runs anywhere, and verify it."""
    from levit.exporting.export import export as run

    report = run(
        checkpoint,
        output,
        precision=precision.value,
        size=size,
        calibration=calibration,
        calibration_images=calibration_images,
        evaluation=evaluation,
        max_drop=max_drop,
        revision=revision,
    )
    if as_json:
        typer.echo(json.dumps(_values(report)))
        return
    from levit.cli.output import print_fields

    print_fields(_fields(report))


def _values(report: ExportReport) -> dict[str, Any]:
    quantization, accuracy = report.artifact.quantization, report.artifact.accuracy
    return {
        "path": str(report.path),
        "bytes": report.num_bytes,
        "precision": report.artifact.precision,
        "max_difference": report.max_difference,
        "accuracy": asdict(accuracy) if accuracy else None,
        "quantization": asdict(quantization) if quantization else None,
    }


def _fields(report: ExportReport) -> dict[str, str]:
    from levit.cli.output import accuracy_fields

    before = ", before it was quantized" if report.artifact.quantization else ""
    fields = {
        "written": f"{report.path} ({report.num_bytes / 1e6:.1f} MB, weights in {report.artifact.precision})",
        "verified": f"logits within {report.max_difference:.1e} of the largest, against the float64 reference{before}",
    }
    return fields | accuracy_fields(report.artifact) | {"try it": f"levit predict PHOTO --model {report.path}"}
