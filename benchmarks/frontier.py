"""The accuracy/speed frontier as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS, OTHERS = "#0b6e4f", "#767b84"

# Where a label may stand beside its point: offset in points, and how it is aligned.
_PLACES = [((7, 4), "left"), ((-7, 4), "right"), ((7, -11), "left"), ((-7, -11), "right"), ((7, -20), "left")]
_DOT = 8  # of a point, half its width on the picture


def draw_frontier(
    rates: Mapping[str, Mapping[str, float]],
    published: Mapping[str, tuple[int, float, str]],
    own: set[str],
    file: Path,
) -> None:
    """Draw published top-1 over images a second, each network in the precision in which it is fastest.

    Args:
        rates: "<network> <precision>" -> {"batch 16": images a second}.
        published: network -> image size, top-1, source.
        own: the networks that are joined by a line.
        file: what to write.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    points = {name: (_fastest(rates, name), top1) for name, (_, top1, _) in published.items()}
    axes.plot(*zip(*sorted(points[name] for name in own), strict=True), color=OURS, linewidth=2, zorder=1)
    for name, (rate, top1) in points.items():
        axes.scatter(rate, top1, color=OURS if name in own else OTHERS, s=40, zorder=2)
    axes.set_xscale("log")
    ticks = [50, 100, 200, 300, 500, 1000, 2000, 3000]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    low, high = min(rate for rate, _ in points.values()), max(rate for rate, _ in points.values())
    axes.set_xlim(low / 1.2, high * 2.2)
    axes.set_xlabel("images a second on 2 CPU cores in OpenVINO, batch 16, in the fastest precision (logarithmic)")
    axes.set_ylabel("published ImageNet top-1 (%)")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    figure.canvas.draw()  # from here on the places on the picture are known
    _label(axes, points, own)
    figure.savefig(file)
    pyplot.close(figure)


def _fastest(rates: Mapping[str, Mapping[str, float]], name: str) -> float:
    return max(rates[f"{name} {precision}"]["batch 16"] for precision in ("fp32", "bf16", "int8"))


def _label(axes: Axes, points: Mapping[str, tuple[float, float]], own: set[str]) -> None:
    """Write each name at the first place where it covers no point and no other name; our own first."""
    from matplotlib.transforms import Bbox

    dots = [axes.transData.transform(point) for point in points.values()]
    taken: list[Any] = [Bbox([dot - _DOT, dot + _DOT]) for dot in dots]
    for name in sorted(points, key=lambda one: one not in own):
        color, weight = (OURS, "bold") if name in own else (OTHERS, "normal")
        for offset, side in _PLACES:
            label = axes.annotate(
                name, points[name], xytext=offset, textcoords="offset points", ha=side, color=color, fontsize=8.5,
                fontweight=weight,
            )  # fmt: skip
            box = label.get_window_extent()
            if not any(box.overlaps(other) for other in taken):
                break
            if offset != _PLACES[-1][0]:
                label.remove()
        taken.append(box)
