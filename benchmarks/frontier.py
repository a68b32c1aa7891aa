"""The accuracy/speed frontier as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

OURS, OTHERS = "#0b6e4f", "#8a8f98"


def draw_frontier(
    rates: Mapping[str, Mapping[str, float]],
    published: Mapping[str, tuple[int, float, str]],
    own: set[str],
    file: Path,
    precision: str = "int8",
) -> None:
    """Draw published top-1 over images a second.

    Args:
        rates: "<network> <precision>" -> {"batch 16": images a second}.
        published: network -> image size, top-1, source.
        own: the networks that are joined by a line.
        file: what to write.
        precision: which of the rates to draw.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    points = {name: (rates[f"{name} {precision}"]["batch 16"], published[name][1]) for name in published}
    line = sorted(points[name] for name in own)
    axes.plot(*zip(*line, strict=True), color=OURS, linewidth=2, zorder=1)
    for name, (rate, top1) in points.items():
        color = OURS if name in own else OTHERS
        axes.scatter(rate, top1, color=color, s=40, zorder=2)
        axes.annotate(name, (rate, top1), xytext=(6, 5 if name in own else -11), textcoords="offset points",
                      color=color, fontsize=8.5, fontweight="bold" if name in own else "normal")  # fmt: skip
    axes.set_xscale("log")
    ticks = [100, 200, 300, 500, 1000, 2000, 3000]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    low, high = min(rate for rate, _ in points.values()), max(rate for rate, _ in points.values())
    axes.set_xlim(low / 1.15, high * 1.6)
    axes.set_xlabel("images a second on 2 CPU cores, batch 16, int8 in OpenVINO (logarithmic)")
    axes.set_ylabel("published ImageNet top-1 (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)
    pyplot.close(figure)
