"""Plot of the accuracy/speed frontier."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVIT_COLOR, OTHER_COLOR = "#0b6e4f", "#767b84"
TICKS = (50, 100, 200, 300, 500, 1000, 2000, 3000)

# Candidate positions of a label relative to its point: offset in typographic points, horizontal alignment.
_LABEL_POSITIONS = [((7, 4), "left"), ((-7, 4), "right"), ((7, -11), "left"), ((-7, -11), "right"), ((7, -20), "left")]
_MARKER_RADIUS = 8  # pixels


def draw_frontier(
    rates: Mapping[str, Mapping[str, float]],
    published: Mapping[str, tuple[int, float, str]],
    levits: set[str],
    file: Path,
) -> None:
    """Plot published top-1 over images per second, each network in the precision in which it is fastest.

    Args:
        rates: "<network> <precision>" -> {"batch 16": images per second}.
        published: network -> image size, top-1 (%), source.
        levits: the networks that are joined by a line.
        file: the file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    points = {name: (_fastest(rates, name), top1) for name, (_, top1, _) in published.items()}
    axes.plot(*zip(*sorted(points[name] for name in levits), strict=True), color=LEVIT_COLOR, linewidth=2, zorder=1)
    for name, (rate, top1) in points.items():
        axes.scatter(rate, top1, color=LEVIT_COLOR if name in levits else OTHER_COLOR, s=40, zorder=2)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:,}" for tick in TICKS])
    axes.minorticks_off()
    low, high = min(rate for rate, _ in points.values()), max(rate for rate, _ in points.values())
    axes.set_xlim(low / 1.2, high * 2.2)
    axes.set_xlabel(
        "images per second on 2 CPU cores, batch 16, fastest precision (logarithmic);\n"
        "LeViT in its default engine, others in OpenVINO"
    )
    axes.set_ylabel("published ImageNet top-1 (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.canvas.draw()  # computes the layout, which the positions of labels depend on
    _draw_labels(axes, points, levits)
    figure.savefig(file)


def _fastest(rates: Mapping[str, Mapping[str, float]], name: str) -> float:
    measured = [f"{name} {precision}" for precision in ("fp32", "bf16", "int8")]
    return max(rates[key]["batch 16"] for key in measured if key in rates)


def _draw_labels(axes: Axes, points: Mapping[str, tuple[float, float]], levits: set[str]) -> None:
    """Write each name at the first position where it covers no point and no other name, LeViT first."""
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    centers = [axes.transData.transform(point) for point in points.values()]
    occupied: list[Any] = [Bbox([center - _MARKER_RADIUS, center + _MARKER_RADIUS]) for center in centers]
    for name in sorted(points, key=lambda network: network not in levits):
        color, weight = (LEVIT_COLOR, "bold") if name in levits else (OTHER_COLOR, "normal")
        for offset, alignment in _LABEL_POSITIONS:
            label = axes.annotate(
                name, points[name], xytext=offset, textcoords="offset points", ha=alignment, color=color, fontsize=8.5,
                fontweight=weight, path_effects=[withStroke(linewidth=3, foreground="white")],
            )  # fmt: skip
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in occupied):
                break
            if offset != _LABEL_POSITIONS[-1][0]:
                label.remove()
        occupied.append(box)
