"""`levit benchmark`: how fast models are on this machine."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from levit.benchmarking.benchmark import SpeedReport


def benchmark(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Exported files, checkpoints or names; default: the model inside."),
    ] = None,
    batch_sizes: Annotated[str, typer.Option(metavar="1,16", help="How many images to compute at once.")] = "1,16",
    engines: Annotated[
        str, typer.Option(metavar="NAMES", help="Of auto, openvino, onnxruntime and, for checkpoints, torch.")
    ] = "auto",
    precisions: Annotated[str, typer.Option(metavar="NAMES", help="Of auto, fp32, bf16 and int8.")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="How many threads to use; default: the cores that this process may use.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured; medians count.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="For how long in each round.")] = 1.0,
    picture: Annotated[
        str | None, typer.Option(metavar="FILE.png", help="Also draw the result; needs matplotlib.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
) -> None:
    """Measure throughput, latency, start and memory on this machine, side by side.

    Every model, engine and precision has a process of its own, and the rounds alternate between them.
    """
    from levit.benchmarking.benchmark import measure_speed
    from levit.reporting.benchmark_plot import check_picture, draw_speed

    if picture is not None:
        check_picture(picture)
    report = measure_speed(
        models or [None],
        batch_sizes=[_whole_number(text) for text in batch_sizes.split(",")],
        engines=[name.strip() for name in engines.split(",")],
        precisions=[name.strip() for name in precisions.split(",")],
        threads=threads,
        rounds=rounds,
        seconds=seconds,
        on_progress=_say if sys.stderr.isatty() else lambda _: None,
    )
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        _print(report)
    if picture is not None:
        draw_speed(report, picture)


def _whole_number(text: str) -> int:
    if not text.strip().isascii() or not text.strip().isdecimal():
        raise typer.BadParameter(f"--batch-sizes {text}: give whole numbers with commas between them, as 1,16")
    return int(text)


def _say(what: str) -> None:
    typer.echo(f"levit: {what} …", err=True)


def _print(report: SpeedReport) -> None:
    from rich.console import Console

    from levit.cli.output import print_fields

    print_fields(report.machine | {"peak": _peaks(report)})
    console = Console(highlight=False)
    console.print()
    console.print(
        _table(
            ("model", "engine", "batch", "images/s", "p50 ms", "p95 ms", "of the peak"),
            [
                (
                    one.model,
                    f"{one.engine}, {one.precision}",
                    str(one.batch_size),
                    f"{one.images_per_second:,.0f}",
                    f"{1e3 * one.latency_p50:.2f}",
                    f"{1e3 * one.latency_p95:.2f}",
                    f"{100 * one.peak_share:.0f} %",
                )
                for one in report.speeds
            ],
        )
    )
    console.print()
    processes = {(one.model, one.engine, one.precision): one for one in report.speeds}
    console.print(
        _table(
            ("model", "engine", "first start", "start", "peak memory"),
            [
                (
                    one.model,
                    f"{one.engine}, {one.precision}",
                    f"{one.first_start:.2f} s",
                    f"{one.start:.2f} s",
                    "unknown" if one.peak_memory is None else f"{one.peak_memory / 1e6:,.0f} MB",
                )
                for one in processes.values()
            ],
        )
    )


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in header:
        table.add_column(name, justify="left" if name in ("model", "engine") else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _peaks(report: SpeedReport) -> str:
    rates = ", ".join(f"{peak:,.0f} in {precision}" for precision, peak in report.peaks.items())
    return f"{rates}: multiply-adds in large matrix products, 1e9 a second"
