"""Plot of the accuracy/speed frontier."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peer_tables import PRECISIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVIT_COLOR, OTHER_COLOR = "#0b6e4f", "#767b84"
TICKS = (50, 100, 200, 300, 500, 1000, 2000, 3000)

# Candidate positions of a label relative to its point: offset in typographic points, horizontal alignment.
_LABEL_POSITIONS = [
    ((7, 4), "left"), ((-7, 4), "right"), ((7, -11), "left"), ((-7, -11), "right"), ((-6, -2), "right"),
    ((7, -20), "left"),
]  # fmt: skip
_MARKER_RADIUS = 8  # pixels


def draw_frontier(
    rates: Mapping[str, Mapping[str, float]],
    published: Mapping[str, tuple[int, float, str]],
    levits: set[str],
    levit_engine: str,
    file: Path,
) -> None:
    """Plot published top-1 over images per second, each network in the precision in which it is fastest.

    Networks that were not measured are left out.

    Args:
        rates: "<network> <precision>" -> {"batch 16": images per second}.
        published: network -> image size, top-1 (%), source.
        levits: the networks that are joined by a line.
        levit_engine: the engine that computes them.
        file: the file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=150, layout="constrained")
    axes = figure.subplots()
    points = find_points(rates, published)
    line = sorted(points[name] for name in levits & points.keys())
    axes.plot([rate for rate, _ in line], [top1 for _, top1 in line], color=LEVIT_COLOR, linewidth=2, zorder=1)
    for name, (rate, top1) in points.items():
        axes.scatter(rate, top1, color=LEVIT_COLOR if name in levits else OTHER_COLOR, s=40, zorder=2)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:,}" for tick in TICKS])
    axes.minorticks_off()
    if points:
        axes.set_xlim(min(points.values())[0] / 1.2, max(points.values())[0] * 2.6)
    axes.set_xlabel(
        "images per second on 2 CPU cores, batch 16, fastest precision (logarithmic);\n"
        f"LeViT in the {levit_engine}, others in OpenVINO"
    )
    axes.set_ylabel("published ImageNet top-1 (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.canvas.draw()  # computes the layout, which the positions of labels depend on
    _draw_labels(axes, points, levits)
    figure.savefig(file)


def find_points(
    rates: Mapping[str, Mapping[str, float]], published: Mapping[str, tuple[int, float, str]]
) -> dict[str, tuple[float, float]]:
    """Images per second in the fastest precision, and top-1 (%), of each network that was measured."""
    measured = {
        name: [rates[key]["batch 16"] for key in (f"{name} {precision}" for precision in PRECISIONS) if key in rates]
        for name in published
    }
    return {name: (max(values), published[name][1]) for name, values in measured.items() if values}


def _draw_labels(axes: Axes, points: Mapping[str, tuple[float, float]], levits: set[str]) -> None:
    """Write each name at the first position where it covers no point, no other name and no line, LeViT first."""
    import numpy as np
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    centers = [axes.transData.transform(point) for point in points.values()]
    occupied: list[Any] = [Bbox([center - _MARKER_RADIUS, center + _MARKER_RADIUS]) for center in centers]
    line = axes.transData.transform(sorted(points[name] for name in levits & points.keys()))
    for start, end in itertools.pairwise(line):
        occupied += [Bbox([place - 1, place + 1]) for place in np.linspace(start, end, 50)]
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
