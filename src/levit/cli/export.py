"""`levit export`: export a checkpoint to one verified ONNX file."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from levit.cli.image_size import ImageSize, parse_image_size
from levit.cli.server_layout import LayoutOption, exported_file
from levit.cli.shared_options import AllowOutsideOption, ClassMapOption, JsonOption, RevisionOption, read_class_map
from levit.spec.choices import ExportFormat, StoredWeights

if TYPE_CHECKING:
    from levit.exporting.export import ExportReport


CheckpointArgument = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="A folder, a file, or a name such as facebook/levit-128S.")
]


OutputArgument = Annotated[
    str,
    typer.Argument(
        metavar="OUT.onnx", help="File to write; OUT.xml for OpenVINO, with OUT.bin beside it; with --layout a folder."
    ),
]
FormatOption = Annotated[
    ExportFormat | None,
    typer.Option(help="onnx runs anywhere; openvino is OpenVINO's own format; default: that of the suffix."),
]
WeightsOption = Annotated[
    StoredWeights,
    typer.Option(
        help="Type of the stored weights; fp16 halves the file; int8 is the fastest, and requires --quantization-data."
    ),
]
QuantizationDataOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|PARQUET",
        help="For int8: images like those of the later use; of a folder with splits, its training images.",
    ),
]
QuantizationImagesOption = Annotated[
    int | None, typer.Option(min=1, help="For int8: maximum number of quantization images; default: 1000.")
]
EvaluationOption = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|PARQUET",
        help="For int8: labeled images, on which accuracy is measured; of a folder with splits, its validation images.",
    ),
]
MaxDropOption = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="For int8: loss of top-1 in percentage points, above which layers are returned to floating point; "
        "default: 0.5.",
    ),
]
ImageSizeOption = Annotated[
    ImageSize | None,
    typer.Option(
        parser=parse_image_size,
        metavar="256|256x192",
        help="Image size in pixels (height x width), if it differs from the trained one.",
    ),
]


def export(
    checkpoint: CheckpointArgument,
    output: OutputArgument,
    weights: WeightsOption = "fp32",
    format: FormatOption = None,  # noqa: A002 (the name of the flag)
    quantization_data: QuantizationDataOption = None,
    quantization_images: QuantizationImagesOption = None,
    evaluation: EvaluationOption = None,
    max_drop: MaxDropOption = None,
    class_map: ClassMapOption = None,
    image_size: ImageSizeOption = None,
    revision: RevisionOption = None,
    allow_outside: AllowOutsideOption = False,
    layout: LayoutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export a checkpoint to one ONNX file that runs anywhere, or for OpenVINO, and verify it."""
    from levit.cli.json_output import print_json
    from levit.exporting.export import export as export_checkpoint

    if layout is not None and format == "openvino":
        raise typer.BadParameter("--layout writes an ONNX file, which both servers load: leave out --format openvino")
    with exported_file(output, layout) as file:
        report = export_checkpoint(
            checkpoint, file, weights=weights, format=format,
            image_size=image_size, quantization_data=quantization_data, quantization_images=quantization_images,
            evaluation=evaluation, max_drop=max_drop, class_map=read_class_map(class_map), revision=revision,
            allow_outside=allow_outside,
        )  # fmt: skip
    if layout is not None:
        report = replace(report, path=Path(output, Path(output).name, "1", "model.onnx"))
    if as_json:
        print_json(_json_report(report))
        return
    from levit.cli.output import print_fields

    print_fields(_text_report(report))


def _json_report(report: ExportReport) -> dict[str, Any]:
    quantization, accuracy = report.artifact.quantization, report.artifact.accuracy
    return {
        "path": str(report.path),
        "bytes": report.num_bytes,
        "precision": report.artifact.precision,
        "max_difference": report.max_difference,
        "accuracy": asdict(accuracy) if accuracy else None,
        "quantization": asdict(quantization) if quantization else None,
    }


def _text_report(report: ExportReport) -> dict[str, str]:
    from levit.cli.output import accuracy_fields

    before = ", before quantization" if report.artifact.quantization else ""
    fields = {
        "written": f"{report.path} ({report.num_bytes / 1e6:.1f} MB, weights in {report.artifact.precision})",
        "verified": f"logits within {report.max_difference:.1e} of the largest, against the float64 reference{before}",
    }
    command = f"levit predict PHOTO --model {shlex.quote(str(report.path))}"
    return fields | accuracy_fields(report.artifact) | {"try it": command}
