"""`levit benchmark`: measure the speed of models on this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from levit.cli.shared_options import JsonOption, ThreadsOption, named_model
from levit.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from levit.benchmarking.benchmark_report import BenchmarkReport

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL]...", help="Exported files, checkpoints or names; -, the default, is the embedded model."
    ),
]
BatchSizes = Annotated[str, typer.Option(metavar="1,16", help="Images per batch, separated by commas.")]
Engines = Annotated[
    str,
    typer.Option(
        metavar="NAMES", help="auto, native, openvino, onnxruntime or torch (checkpoints), separated by commas."
    ),
]
Precisions = Annotated[str, typer.Option(metavar="NAMES", help="auto, fp32, bf16 or int8, separated by commas.")]
Rounds = Annotated[int, typer.Option(min=1, help="Number of rounds, whose medians are reported.")]
Seconds = Annotated[float, typer.Option(min=0.01, help="Duration of each measurement in seconds.")]
Picture = Annotated[
    str | None, typer.Option(metavar="FILE.png", help="Plot of the results to write; needs matplotlib.")
]


def benchmark(
    models: Models = None,
    batch_sizes: BatchSizes = "1,16",
    engines: Engines = "auto",
    precisions: Precisions = "auto",
    threads: ThreadsOption = None,
    rounds: Rounds = 5,
    seconds: Seconds = 1.0,
    picture: Picture = None,
    as_json: JsonOption = False,
) -> None:
    """Measure throughput, latency, start-up time and memory on this machine, side by side.

    Every model, engine and precision has a separate process; the rounds alternate between the processes.
    """
    from levit.benchmarking.benchmark import benchmark as run_benchmark
    from levit.cli.json_output import print_json
    from levit.reporting.benchmark_plot import check_plot_file, plot_benchmark

    if picture is not None:
        check_plot_file(picture)
    report = run_benchmark(
        models and [named_model(name) for name in models],
        batch_sizes=_parse_batch_sizes(batch_sizes),
        engines=_split(engines),
        precisions=_split(precisions),
        threads=threads,
        rounds=rounds,
        seconds=seconds,
        on_progress=_print_progress if sys.stderr.isatty() else lambda _: None,
    )
    if as_json:
        print_json(report.to_dict())
    else:
        _print_tables(report)
    if picture is not None:
        plot_benchmark(report, picture)


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _parse_batch_sizes(text: str) -> list[int]:
    sizes = _split(text)
    if not all(size.isascii() and size.isdecimal() for size in sizes):
        raise typer.BadParameter(f"--batch-sizes {text}: give whole numbers with commas between them, as 1,16")
    return [int(size) for size in sizes]


def _print_progress(step: str) -> None:
    from levit.logs import get_logger

    get_logger().info("%s …", printable(step))


def _print_tables(report: BenchmarkReport) -> None:
    """Print the machine, the throughput and latency of every result, and start-up and memory of every process."""
    from rich.console import Console

    from levit.cli.output import print_fields

    print_fields(report.machine | {"peak": _format_peaks(report)})
    console = Console(highlight=False)
    console.print()
    console.print(_speed_table(report))
    console.print()
    console.print(_process_table(report))


def _speed_table(report: BenchmarkReport) -> Table:
    rows = [
        (
            result.model,
            f"{result.engine}, {result.precision}",
            str(result.batch_size),
            f"{result.images_per_second:,.0f}",
            f"{1e3 * result.latency_p50:.2f}",
            f"{1e3 * result.latency_p95:.2f}",
            "unknown" if result.peak_share is None else f"{100 * result.peak_share:.0f} %",
        )
        for result in report.results
    ]
    return _table(("model", "engine", "batch", "images/s", "p50 ms", "p95 ms", "of the peak"), rows)


def _process_table(report: BenchmarkReport) -> Table:
    processes = {(result.model, result.engine, result.precision): result for result in report.results}
    rows = [
        (
            result.model,
            f"{result.engine}, {result.precision}",
            f"{result.cold_start:.2f} s",
            f"{result.warm_start:.2f} s",
            "unknown" if result.peak_memory is None else f"{result.peak_memory / 1e6:,.0f} MB",
        )
        for result in processes.values()
    ]
    return _table(("model", "engine", "cold start", "warm start", "peak memory"), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in header:
        table.add_column(name, justify="left" if name in ("model", "engine") else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def _format_peaks(report: BenchmarkReport) -> str:
    if not report.peaks:
        return "unknown: it is measured with OpenVINO, which is not installed"
    rates = ", ".join(f"{peak:,.0f} in {precision}" for precision, peak in report.peaks.items())
    return f"{rates} (1e9 multiply-adds per second in large matrix products)"
