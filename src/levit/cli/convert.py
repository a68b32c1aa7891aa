"""`levit convert`: convert a checkpoint to the key names and files of another library."""

from __future__ import annotations

from typing import Annotated

import typer

from levit.cli.image_size import ImageSize, parse_image_size
from levit.cli.shared_options import JsonOption, RevisionOption
from levit.errors import printable
from levit.spec.choices import Activation, WritableDialect

SourceArgument = Annotated[
    str, typer.Argument(metavar="SRC", help="A folder, a file, or a name such as facebook/levit-128S.")
]
TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="DST",
        help="A folder for transformers and timm, otherwise a file: .safetensors, .pth, .ckpt (MindSpore), .msgpack "
        "(Flax).",
    ),
]
DialectOption = Annotated[WritableDialect, typer.Option(help="Library to convert to.")]
ActivationOption = Annotated[
    Activation | None,
    typer.Option(
        help="Activation of the network; default: that of the configuration or of the published network. gelu for "
        "older releases of vit-pytorch."
    ),
]
ImageSizeOption = Annotated[
    ImageSize | None,
    typer.Option(
        parser=parse_image_size,
        metavar="256|256x192",
        help="Image size in pixels (height x width); default: that of the configuration or of the published network.",
    ),
]
UseEmaOption = Annotated[
    bool, typer.Option("--use-ema", help="Convert the moving average of the weights of a training checkpoint.")
]


def convert(
    source: SourceArgument,
    target: TargetArgument,
    to: DialectOption,
    activation: ActivationOption = None,
    image_size: ImageSizeOption = None,
    use_ema: UseEmaOption = False,
    revision: RevisionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Convert a checkpoint to the key names and files of another library."""
    from levit.checkpoints.writing import convert as convert_checkpoint
    from levit.cli.json_output import print_json

    path = convert_checkpoint(
        source,
        target,
        to=to,
        activation=activation,
        image_size=image_size,
        revision=revision,
        use_ema=use_ema,
    )
    if as_json:
        print_json({"path": str(path), "dialect": to})
    else:
        typer.echo(printable(str(path)))
