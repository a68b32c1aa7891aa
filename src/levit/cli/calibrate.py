"""`levit calibrate`: temperature of the scores and threshold of rejection."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from levit.cli.shared_options import (
    AllowOutsideOption,
    ClassMapOption,
    JsonOption,
    SplitOption,
    read_class_map,
)


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="Exported file, which is changed.")],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="Labeled images of the model's classes that it was not trained on, one label each."
        ),
    ],
    coverage: Annotated[
        float | None,
        typer.Option(help="Fraction of images to keep (not 'unknown'); default: 0.95."),
    ] = None,
    target_precision: Annotated[
        float | None, typer.Option(help="Instead of --coverage: required precision of the kept predictions.")
    ] = None,
    split: SplitOption = None,
    class_map: ClassMapOption = None,
    allow_outside: AllowOutsideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Calibrate the scores of an exported file, and set the threshold below which it predicts "unknown".

    The scores become probabilities. Temperature and threshold are written into the metadata of the file.
    """
    from levit.cli.json_output import print_json
    from levit.cli.output import print_fields, rejection_field
    from levit.exporting.calibrate import calibrate as calibrate_file

    rejection = calibrate_file(
        model,
        data,
        split=split,
        coverage=coverage,
        target_precision=target_precision,
        class_map=read_class_map(class_map),
        allow_outside=allow_outside,
    )
    if as_json:
        print_json(asdict(rejection))
    else:
        temperature, threshold = f"{rejection.temperature:.3f}", rejection_field(rejection)
        print_fields({"written": model, "temperature": temperature, "unknown": threshold})
