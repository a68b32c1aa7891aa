"""What came of every epoch of a run: a table, and curves."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from levit.training.checkpointer import write_text

RESULTS_FILE = "results.csv"
CURVES_FILE = "curves.png"

_FEW_EPOCHS = 30


def write_results(run: Path, rows: Sequence[dict[str, float]]) -> None:
    """All epochs, one line each; a run that was interrupted writes what it would have written."""
    if not rows:
        return
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(run / RESULTS_FILE, stream.getvalue())


def draw_curves(run: Path, rows: Sequence[dict[str, float]], metric: str) -> None:
    """Loss, metric and learning rate over the epochs, as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, values, rates = figure.subplots(1, 3)
    # A line of one point would not be seen.
    style: dict[str, Any] = {"marker": "o", "markersize": 3} if len(epochs) <= _FEW_EPOCHS else {}
    losses.plot(epochs, [row["train_loss"] for row in rows], label="training", color="#8a8a8a", **style)
    losses.plot(epochs, [row["loss"] for row in rows], label="validation", color="#0b6e4f", **style)
    if metric != "loss":
        labels = {metric: ("validation", "#0b6e4f"), f"ema_{metric}": ("moving average", "#c8553d")}
        shown = [name for name in labels if name in rows[0]]
        for name in shown:
            label, color = labels[name]
            values.plot(epochs, [row[name] for row in rows], label=label, color=color, **style)
        values.axhline(max(row[name] for row in rows for name in shown), color="#333333", linewidth=0.5, linestyle=":")
    rates.plot(epochs, [row["lr"] for row in rows], color="#333333", **style)
    for axes, title in ((losses, "loss"), (values, f"{metric}, %"), (rates, "learning rate")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    partial = run / f".{CURVES_FILE}"
    figure.savefig(partial, dpi=120, format="png")
    partial.replace(run / CURVES_FILE)
