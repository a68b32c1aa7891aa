"""The option --layout of `levit export`: folders that other servers load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from levit.spec.choices import ServerLayout

LayoutOption = Annotated[
    ServerLayout | None,
    typer.Option(help="Write a model repository for this server instead of a file; its model has the folder's name."),
]


@contextmanager
def exported_file(output: str, layout: ServerLayout | None) -> Iterator[str]:
    """Name of the file to export; with a layout a temporary one, of which the folder is written at the end."""
    if layout is None:
        yield output
        return
    from levit.exporting.model_repository import check_repository, write_model_repository

    check_repository(Path(output))
    with TemporaryDirectory(prefix="levit-") as folder:
        file = Path(folder, "model.onnx")
        yield str(file)
        write_model_repository(file, Path(output), layout)
