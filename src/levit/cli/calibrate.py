"""`levit calibrate`: when should a model say that it does not know?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from levit.errors import CheckpointError


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="The exported file; it is changed.")],
    data: Annotated[str, typer.Argument(help="Labeled images of what it knows, and was not trained on.")],
    coverage: Annotated[
        float | None, typer.Option(help="The share of these images that it is to answer; default: 0.95.")
    ] = None,
    precision: Annotated[
        float | None, typer.Option(help="Instead, the share of right ones among what it answers.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Which part of the data.")] = None,
    skip: Annotated[int, typer.Option(min=0, help="Leave out as many images, those that calibrated the model.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="What was found as one JSON object.")] = False,
) -> None:
    """Find a temperature and a threshold for the scores, and write them into an exported file.

    From then on scores are probabilities, and `levit predict` answers "unknown" below the threshold.
    """
    if not (Path(model).suffix == ".onnx" and Path(model).exists()):
        raise CheckpointError(f"{model}: no exported file: export the checkpoint first")
    from levit.data.open_data import open_data
    from levit.evaluation.rejection import find_rejection
    from levit.exporting.export import record_rejection
    from levit.runtime.classifier import Classifier

    found = find_rejection(
        Classifier(model), open_data(data, split=split), coverage=coverage, precision=precision, skip=skip
    )
    record_rejection(model, found)
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    from levit.cli.output import print_fields, rejection_field

    print_fields({"written": model, "temperature": f"{found.temperature:.3f}", "unknown": rejection_field(found)})
