"""Bar charts of a benchmark report: throughput and latency."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from levit.benchmarking.benchmark_report import BenchmarkReport, BenchmarkResult
from levit.errors import ConfigError
from levit.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORMATS = (".png", ".svg", ".pdf")
_COLORS = ("#0b6e4f", "#7bb274", "#c3a35b", "#8a8f98")
_GROUP_HEIGHT = 0.8  # of the bars of all batch sizes together; groups are 1 apart


def check_plot_file(file: str | PathLike[str]) -> Path:
    """Check before a benchmark that its plot can be written.

    Raises:
        ConfigError: the folder does not exist, or the suffix is not .png, .svg or .pdf.
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError('a picture needs matplotlib: pip install "levit[plots]"') from error
    file = Path(file)
    if file.suffix.lower() not in _FORMATS:
        raise ConfigError(f"give a name that ends in {', '.join(_FORMATS)}", source=file)
    if not file.parent.is_dir():
        raise ConfigError(f"there is no folder {file.parent}", source=file)
    return file


def plot_benchmark(report: BenchmarkReport, file: str | PathLike[str]) -> Path:
    """Plot throughput and latency, with a group of bars for each model, engine and precision.

    matplotlib's backend and settings stay as they are.

    Args:
        report: results of `levit.benchmark`.
        file: the file to write atomically; the suffix .png, .svg or .pdf selects its format.

    Returns:
        The file.

    Raises:
        ConfigError: the folder does not exist, or the suffix is not one of these.
        ImportError: matplotlib is not installed.
    """
    file = check_plot_file(file)
    from matplotlib.figure import Figure

    groups = list(dict.fromkeys(_group(result) for result in report.results))
    batch_sizes = list(dict.fromkeys(result.batch_size for result in report.results))
    size = (10, 1.6 + 0.35 * len(groups) * (len(batch_sizes) + 1))  # inches
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    throughput, latency = figure.subplots(1, 2, sharey=True)
    for number, batch_size in enumerate(batch_sizes):
        results = [result for result in report.results if result.batch_size == batch_size]
        positions = [
            groups.index(_group(result)) + (number + 0.5) * _GROUP_HEIGHT / len(batch_sizes) for result in results
        ]
        color, height = _COLORS[number % len(_COLORS)], 0.9 * _GROUP_HEIGHT / len(batch_sizes)
        _draw_throughput(throughput, results, positions, height, color)
        _draw_latency(latency, results, positions, height, color)
    labels = [f"{model}\n{engine}, {precision}" for model, engine, precision in groups]
    throughput.set_yticks([index + _GROUP_HEIGHT / 2 for index in range(len(groups))], labels, fontsize=8)
    throughput.invert_yaxis()
    throughput.set_xlabel("images per second")
    latency.set_xlabel("milliseconds per batch (median, 95th percentile)")
    throughput.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(batch_sizes), frameon=False, fontsize=8)
    for axes in (throughput, latency):
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.15)
    figure.suptitle(f"{report.machine['processor']}, {report.machine['cores']}", fontsize=10)
    with replacing(file) as partial:
        figure.savefig(partial, format=file.suffix[1:].lower())
    return file


def _group(result: BenchmarkResult) -> tuple[str, str, str]:
    return result.model, result.engine, result.precision


def _draw_throughput(
    axes: Axes, results: Sequence[BenchmarkResult], positions: Sequence[float], height: float, color: str
) -> None:
    """Draw the bars of one batch size."""
    rates = [result.images_per_second for result in results]
    bars = axes.barh(positions, rates, height, color=color, label=f"batch {results[0].batch_size}")
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)


def _draw_latency(
    axes: Axes, results: Sequence[BenchmarkResult], positions: Sequence[float], height: float, color: str
) -> None:
    """Draw medians as bars of one batch size, and 95th percentiles as whiskers, in milliseconds."""
    medians = [1e3 * result.latency_p50 for result in results]
    whiskers = [1e3 * max(0.0, result.latency_p95 - result.latency_p50) for result in results]
    errors = [[0.0] * len(whiskers), whiskers]
    bars = axes.barh(positions, medians, height, color=color, xerr=errors, capsize=2)
    axes.bar_label(
        bars, [f"{median:,.0f}" if median >= 10 else f"{median:.2g}" for median in medians], padding=3, fontsize=8
    )
