"""The command `levit models`: the names of models that work."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from levit.spec.artifact import Artifact

_WIDTH = 48  # columns of a terminal that shows all values; a narrower one leaves out the size

# Measured by mmpretrain with its conversions of the authors' weights.
_OPENMMLAB_TOP1 = {
    "levit-128s": 0.7651, "levit-128": 0.7858, "levit-192": 0.7986, "levit-256": 0.8159, "levit-384": 0.8259,
}  # fmt: skip


@dataclass(frozen=True)
class ModelRow:
    """Model that has a name.

    Attributes:
        name: name for `--model`; "-" for the embedded model, which is also the default; "embedded" for the weights
            from which it was exported.
        kind: where it comes from: "embedded", "hub", "facebook" or "openmmlab".
        image_size: height and width of the input in pixels.
        classes: number of classes.
        parameters: number of parameters, with all heads.
        top1: top-1 accuracy, a fraction in [0, 1]; None if it is not known.
        data: data of the accuracy.
        is_cached: True if it needs no download.
    """

    name: str
    kind: str
    image_size: int
    classes: int
    parameters: int
    top1: float | None
    data: str
    is_cached: bool


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per model.")] = False,
) -> None:
    """List the models that have a name: size, accuracy, and whether they need a download.

    Accuracies of published weights are those that their authors state, or mmpretrain for its conversions. Any file or
    folder with weights, and any model ID of a LeViT on the Hugging Face Hub, is a model, too.
    """
    from levit.cli.json_output import print_json

    rows = [*_embedded_rows(), *_published_rows()]
    if as_json:
        for row in rows:
            print_json(asdict(row))
        return
    _print_table(rows)


def _embedded_rows() -> list[ModelRow]:
    from levit.checkpoints.weight_lookup import EMBEDDED_WEIGHTS
    from levit.runtime.model_info import describe

    return [_embedded_row(name, describe(model)[0]) for name, model in (("-", None), (EMBEDDED_WEIGHTS,) * 2)]


def _embedded_row(name: str, artifact: Artifact) -> ModelRow:
    from levit.spec.network import count_parameters

    accuracy = artifact.accuracy
    return ModelRow(
        name=name,
        kind="embedded",
        image_size=artifact.architecture.image_height_width[0],
        classes=len(artifact.labels),
        parameters=count_parameters(artifact.architecture),
        top1=None if accuracy is None else accuracy.top1,
        data="" if accuracy is None else accuracy.data,
        is_cached=True,
    )


def _published_rows() -> list[ModelRow]:
    from levit.checkpoints.weight_lookup import HUB_NAMES, URLS, is_cached
    from levit.spec.network import count_parameters
    from levit.spec.variants import VARIANTS

    rows = []
    for name in (*HUB_NAMES, *URLS):
        variant = VARIANTS[name.removesuffix(".pth").removesuffix("_3rdparty_in1k").lower()]
        architecture = variant.architecture()
        kind = "hub" if name in HUB_NAMES else "facebook" if name.endswith(".pth") else "openmmlab"
        rows.append(
            ModelRow(
                name=name,
                kind=kind,
                image_size=architecture.image_height_width[0],
                classes=architecture.num_labels,
                parameters=count_parameters(architecture),
                top1=_OPENMMLAB_TOP1[variant.name] if kind == "openmmlab" else variant.published_top1,
                data="ImageNet",
                is_cached=is_cached(name),
            )
        )
    return rows


def _print_table(rows: list[ModelRow]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("name", no_wrap=True)
    shows_size = console.width >= _WIDTH
    for column in (*(["size"] if shows_size else []), "top-1", "cached"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        size = [f"{row.parameters / 1e6:.1f} M"] if shows_size else []
        accuracy = "" if row.top1 is None else f"{100 * row.top1:.1f} %"
        name = f"{row.name} (default)" if row.name == "-" else row.name
        table.add_row(name, *size, accuracy, "yes" if row.is_cached else "no")
    console.print(table)
    notes = (
        f"Top-1 of ImageNet as published; of the embedded model (-), on its own {rows[0].classes} classes. "
        "embedded: its weights before quantization, from which levit train can start."
    )
    console.print(notes, style="dim")
