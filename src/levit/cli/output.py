"""Output of several commands: tables of fields, recorded accuracy as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from levit.errors import printable
from levit.spec.labels import has_top5

if TYPE_CHECKING:
    from levit.spec.artifact import Accuracy, Artifact, Rejection


def print_fields(fields: dict[str, str]) -> None:
    """Print a table of two columns, names and values, which may contain any text."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(Text(printable(name)), Text(printable(value)))
    Console(highlight=False).print(table)


def rejection_field(rejection: Rejection) -> str:
    """The threshold of rejection, with coverage and precision, as text."""
    images = f"{rejection.images:,} images of {rejection.data}"
    measured = f"on the {images} that set the threshold" if rejection.is_in_sample else f"cross-validated on {images}"
    return (
        f"below a score of {100 * rejection.threshold:.1f} %; coverage {100 * rejection.coverage:.1f} %, "
        f"precision {100 * rejection.precision:.1f} % ({measured})"
    )


def accuracy_fields(artifact: Artifact) -> dict[str, str]:
    """Recorded accuracy, quantization and rejection of a model as text; fields without a record are absent."""
    fields, accuracy, quantization = {}, artifact.accuracy, artifact.quantization
    if artifact.rejection is not None:
        fields["unknown"] = rejection_field(artifact.rejection)
    if accuracy is not None:
        fields["accuracy"] = (
            f"{_percent(accuracy, artifact)} of {accuracy.images:,} images of {accuracy.data} "
            f"({accuracy.engine}, {accuracy.precision})"
        )
    if quantization is None:
        return fields
    if quantization.fp32 is not None:
        fields["in fp32"] = _percent(quantization.fp32, artifact)
    measured = " (measured on the same images)" if quantization.fp32 is None else ""
    agreement, difference = f"{100 * quantization.agreement:.1f} %", f"{quantization.max_logit_difference:.2g}"
    fields["quantized"] = (
        f"on {quantization.images:,} images of {quantization.data}; agreement with fp32 {agreement}, maximum logit "
        f"difference {difference}{measured}"
    )
    kept = quantization.float_layers
    fields["float layers"] = ", ".join(["head", *kept]) if kept else "head only"
    if quantization.fp32 is not None and quantization.is_in_sample:
        fields["float layers"] += f"; selected on {quantization.fp32.data}, so the int8 accuracy is optimistic"
    return fields


def _percent(accuracy: Accuracy, artifact: Artifact) -> str:
    top1 = f"{100 * accuracy.top1:.2f} % top-1"
    return f"{top1}, {100 * accuracy.top5:.2f} % top-5" if has_top5(artifact.labels) else top1
