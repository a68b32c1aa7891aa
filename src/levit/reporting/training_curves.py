"""Curves of a training run: losses, metric and learning rate over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from levit.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MAX_MARKED_EPOCHS = 30
_GRAY, _GREEN, _ORANGE, _DARK = "#8a8a8a", "#0b6e4f", "#c8553d", "#333333"

_MARGIN = 1  # percent beyond 0 and 100, for markers

Rows = Sequence[Mapping[str, float]]


def draw_training_curves(file: Path, rows: Rows, metric: str, *, best: tuple[int, str] | None = None) -> None:
    """Draw three plots side by side as a PNG of 1200 by 408 pixels; the global state of matplotlib does not change.

    Args:
        file: the file to write.
        rows: for each epoch `epoch`, `train_loss`, `loss`, `lr`, the metric as a fraction in [0, 1] and, with a moving
            average of the weights, the metric with the prefix `ema_`.
        metric: name of the metric; no separate curve is drawn for "loss".
        best: the epoch whose weights are kept, and the prefix of their metrics, "ema_" for the average; it is marked.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, values, rates = figure.subplots(1, 3)
    # Markers, because a line of one point is invisible.
    style: dict[str, Any] = {"marker": "o", "markersize": 3} if len(rows) <= _MAX_MARKED_EPOCHS else {}
    epochs = [row["epoch"] for row in rows]
    losses.plot(epochs, [row["train_loss"] for row in rows], label="training", color=_GRAY, **style)
    losses.plot(epochs, [row["loss"] for row in rows], label="validation", color=_GREEN, **style)
    if metric != "loss":
        _plot_metric(values, rows, metric, style)
    if best is not None:
        _mark_epoch(losses if metric == "loss" else values, rows, metric, best)
    rates.plot(epochs, [row["lr"] for row in rows], color=_DARK, **style)
    for axes, title in ((losses, "loss"), (values, f"{metric}, %"), (rates, "learning rate")):
        _label_axes(axes, title)
    with replacing(file) as partial:
        figure.savefig(partial, dpi=120, format="png")


def _plot_metric(axes: Axes, rows: Rows, metric: str, style: Mapping[str, Any]) -> None:
    """Plot the metric in percent, of the network and of its average."""
    epochs = [row["epoch"] for row in rows]
    curves = {metric: ("validation", _GREEN), f"ema_{metric}": ("moving average", _ORANGE)}
    for name, (label, color) in curves.items():
        if name in rows[0]:
            axes.plot(epochs, [100 * row[name] for row in rows], label=label, color=color, **style)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -_MARGIN), min(high, 100 + _MARGIN))  # a flat curve would be drawn between 95 and 105


def _mark_epoch(axes: Axes, rows: Rows, metric: str, best: tuple[int, str]) -> None:
    """Mark the epoch whose weights are kept, by a circle and in the legend, which gives its value."""
    epoch, prefix = best
    row = next(row for row in rows if row["epoch"] == epoch)
    name = f"{prefix}{metric}" if f"{prefix}{metric}" in row else metric  # the validation loss has one curve
    is_loss = metric == "loss"
    value = row[name] if is_loss else 100 * row[name]
    label = f"kept: epoch {epoch}, {value:.3g}" if is_loss else f"kept: epoch {epoch}, {value:.1f} %"
    axes.plot([epoch], [value], "o", markersize=8, fillstyle="none", color=_DARK, label=label)


def _label_axes(axes: Axes, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=10)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
