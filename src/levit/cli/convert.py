"""`levit convert`: a checkpoint in another library's names and layout."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from levit.cli.engine_options import RevisionOption
from levit.cli.image_size import ImageSize, parse_image_size


class Activation(StrEnum):
    """What the network may compute between its layers."""

    HARDSWISH = "hardswish"
    SILU = "silu"


class Dialect(StrEnum):
    """The libraries that a checkpoint can be written for."""

    TRANSFORMERS = "transformers"
    TIMM = "timm"
    TIMM_CONV = "timm-conv"
    FACEBOOK = "facebook"
    FACEBOOK_CONV = "facebook-conv"
    MMPRETRAIN = "mmpretrain"


def convert(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="A folder, a file, or a name such as facebook/levit-128S.")
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="DST", help="A folder for transformers and timm, a .pth or .safetensors file for the others."
        ),
    ],
    to: Annotated[Dialect, typer.Option(help="The library to write for.")],
    activation: Annotated[
        Activation | None, typer.Option(help="Where no configuration says it; hardswish in the published networks.")
    ] = None,
    image_size: Annotated[
        ImageSize | None,
        typer.Option(parser=parse_image_size, metavar="256|256x192", help="Of the input in pixels, likewise."),
    ] = None,
    use_ema: Annotated[
        bool, typer.Option("--use-ema", help="Of a training checkpoint, the moving average of the weights.")
    ] = False,
    revision: RevisionOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was written as one JSON object.")] = False,
) -> None:
    """Rewrite a checkpoint in another library's names and layout."""
    from levit.checkpoints.writing import convert as run

    path = run(
        source,
        target,
        to=to.value,
        activation=activation and activation.value,
        image_size=image_size,
        revision=revision,
        use_ema=use_ema,
    )
    typer.echo(json.dumps({"path": str(path), "dialect": to.value}) if as_json else path)
