"""`levit convert`: a checkpoint in another library's names and layout."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer


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
        str, typer.Argument(metavar="DST", help="A folder for transformers and timm, a .pth file for the others.")
    ],
    to: Annotated[Dialect, typer.Option(help="The library to write for.")],
    as_json: Annotated[bool, typer.Option("--json", help="What was written as one JSON object.")] = False,
) -> None:
    """Rewrite a checkpoint in another library's names and layout."""
    from levit.checkpoints.writing import convert as run

    path = run(source, target, to=to.value)
    typer.echo(json.dumps({"path": str(path), "dialect": to.value}) if as_json else path)
