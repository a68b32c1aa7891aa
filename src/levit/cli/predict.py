"""`levit predict`: what is on these photos?"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

import typer

from levit.cli.inputs import NoImages, expand


class Precision(StrEnum):
    """Precision of the arithmetic."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Images, folders (searched recursively), patterns, or - for a list on stdin.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help="An exported .onnx file or a checkpoint; by default the model inside the package."),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels to give for each image.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV line for each label.")] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="How many images to compute at once.")] = 16,
    precision: Annotated[
        Precision, typer.Option(help="Of the arithmetic; auto is bf16 where the processor has it, otherwise fp32.")
    ] = Precision.AUTO,
    threads: Annotated[int | None, typer.Option(min=1, help="How many threads to use; default: all cores.")] = None,
) -> None:
    """Classify images.

    The exit code is 1 when some images could not be read; the others are answered all the same.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other: give one of them")
    from levit.cli.output import WRITERS
    from levit.cli.progress import track
    from levit.runtime.classifier import Classifier

    classifier = Classifier(model, precision=precision.value, threads=threads)
    writer = WRITERS["json" if as_json else "csv" if as_csv else "table"]()
    nothing: deque[tuple[int, NoImages]] = deque()  # with the number of images that were read before it
    taken = answered = failed = 0

    def images() -> Iterator[str]:
        nonlocal taken
        for item in expand(paths):
            if isinstance(item, NoImages):
                nothing.append((taken, item))
            else:
                taken += 1
                yield item

    def report_nothing() -> None:
        nonlocal failed
        while nothing and nothing[0][0] <= answered:
            item = nothing.popleft()[1]
            writer.write(item.name, [], f"{item.name}: {item.reason}")
            failed += 1

    try:
        for prediction in track(classifier.stream(images(), batch_size=batch_size), "images"):
            report_nothing()
            error = str(prediction.error) if prediction.error else None
            writer.write(prediction.source, prediction.top(top_k), error)
            answered += 1
            failed += error is not None
        report_nothing()
    finally:
        writer.close()
    if failed:
        raise typer.Exit(1)
