"""`levit export`: checkpoint in, one verified ONNX file out."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


class Precision(StrEnum):
    """How the weights are kept."""

    FP32 = "fp32"
    FP16 = "fp16"


def export(
    checkpoint: Annotated[str, typer.Argument(help="A folder, a file, or a name such as facebook/levit-128S.")],
    output: Annotated[str, typer.Argument(metavar="OUT.onnx", help="The file to write.")],
    precision: Annotated[
        Precision,
        typer.Option(help="How the weights are kept; fp16 halves the file, the arithmetic stays float32."),
    ] = Precision.FP32,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit, for a name on the hub.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
) -> None:
    """Export a checkpoint to one ONNX file that runs anywhere, and verify it."""
    from levit.exporting.export import export as run

    report = run(checkpoint, output, precision=precision.value, revision=revision)
    if as_json:
        values = {
            "path": str(report.path),
            "bytes": report.num_bytes,
            "precision": report.artifact.precision,
            "max_difference": report.max_difference,
        }
        typer.echo(json.dumps(values))
        return
    from levit.cli.output import print_fields

    print_fields(
        {
            "written": f"{report.path} ({report.num_bytes / 1e6:.1f} MB, weights in {report.artifact.precision})",
            "verified": f"logits within {report.max_difference:.1e} of the largest, against the float64 reference",
            "try it": f"levit predict PHOTO --model {report.path}",
        }
    )
