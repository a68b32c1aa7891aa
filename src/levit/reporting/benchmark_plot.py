"""A speed report as a picture: bars of images a second, and latencies beside them."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from levit.benchmarking.benchmark import SpeedReport
from levit.errors import ConfigError

_FORMATS = (".png", ".svg", ".pdf")
_COLORS = ("#0b6e4f", "#7bb274", "#c3a35b", "#8a8f98")


def check_picture(file: str | Path) -> Path:
    """Find out before the measuring whether a picture can be written.

    Raises:
        ConfigError: the folder is not there, or the suffix says no format.
        ImportError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ImportError('a picture needs matplotlib: pip install "levit[plots]"') from error
    mpl.use("agg")
    file = Path(file)
    if file.suffix.lower() not in _FORMATS:
        raise ConfigError(f"{file}: give a name that ends in {', '.join(_FORMATS)}")
    if not file.parent.is_dir():
        raise ConfigError(f"{file}: there is no folder {file.parent}")
    return file


def draw_speed(report: SpeedReport, file: str | Path) -> Path:
    """Draw throughput and latency of everything in a report, a group of bars for each model and engine.

    Args:
        report: what `levit.benchmarking.benchmark.measure_speed` gives.
        file: what to write; its suffix says the format, as .png or .svg. It is complete or absent.

    Raises:
        ConfigError: there can be no such file.
        ImportError: matplotlib is not installed.
    """
    file = check_picture(file)
    from matplotlib import pyplot

    groups = list(dict.fromkeys((speed.model, speed.engine, speed.precision) for speed in report.speeds))
    sizes = list(dict.fromkeys(speed.batch_size for speed in report.speeds))
    figure, axes = pyplot.subplots(
        1, 2, figsize=(10, 1.6 + 0.35 * len(groups) * (len(sizes) + 1)), dpi=150, sharey=True, layout="constrained"
    )
    height = 0.8 / len(sizes)
    for number, size in enumerate(sizes):
        chosen = [speed for speed in report.speeds if speed.batch_size == size]
        places = [groups.index((one.model, one.engine, one.precision)) + (number + 0.5) * height for one in chosen]
        rates = [one.images_per_second for one in chosen]
        medians = [1e3 * one.latency_p50 for one in chosen]
        tails = [1e3 * max(0.0, one.latency_p95 - one.latency_p50) for one in chosen]
        color = _COLORS[number % len(_COLORS)]
        bars = axes[0].barh(places, rates, 0.9 * height, color=color, label=f"batch {size}")
        axes[0].bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, fontsize=8)
        bars = axes[1].barh(places, medians, 0.9 * height, color=color, xerr=[[0.0] * len(tails), tails], capsize=2)
        axes[1].bar_label(bars, [f"{median:.2g}" for median in medians], padding=3, fontsize=8)
    labels = [f"{model}\n{engine}, {precision}" for model, engine, precision in groups]
    axes[0].set_yticks([number + 0.4 for number in range(len(groups))], labels, fontsize=8)
    axes[0].invert_yaxis()
    axes[0].set_xlabel("images a second")
    axes[1].set_xlabel("milliseconds for one batch alone (median, 95 %)")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(sizes), frameon=False, fontsize=8)
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.margins(x=0.15)
    figure.suptitle(f"{report.machine['processor']}, {report.machine['cores']}", fontsize=10)
    partial = file.with_name(f".{uuid4().hex}{file.suffix}")
    try:
        figure.savefig(partial)
        os.replace(partial, file)  # noqa: PTH105
    finally:
        partial.unlink(missing_ok=True)
        pyplot.close(figure)
    return file
