"""Curves of a training run."""

from math import nan

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from levit.reporting.training_curves import draw_training_curves

ROWS = [
    {"epoch": epoch, "train_loss": 2 / epoch, "loss": 2.5 / epoch, "top1": 0.1 * epoch, "lr": 0.1 / epoch}
    for epoch in range(1, 41)
]
GREEN, ORANGE = (0x0B, 0x6E, 0x4F), (0xC8, 0x55, 0x3D)


def draw(folder, rows, metric="top1", best=None):
    file = folder / "curves.png"
    draw_training_curves(file, rows, metric, best=best)
    assert [path.name for path in folder.iterdir()] == ["curves.png"]
    return file


def colors_of(file):
    with Image.open(file) as picture:
        return {tuple(color) for color in np.asarray(picture.convert("RGB")).reshape(-1, 3)}


@pytest.mark.parametrize("metric", ["top1", "loss"])
@pytest.mark.parametrize("has_average", [False, True])
def test_curves_are_a_picture(tmp_path, metric, has_average):
    rows = [row | ({f"ema_{metric}": row[metric] + 0.01} if has_average else {}) for row in ROWS[:3]]
    file = draw(tmp_path, rows, metric)
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1200, 408)
    assert GREEN in colors_of(file)
    assert (ORANGE in colors_of(file)) == (has_average and metric != "loss")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    figures, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **kw: figures.append(figure) or save(figure, *args, **kw)
    )
    return figures


@pytest.mark.parametrize(("count", "marker"), [(1, "o"), (30, "o"), (31, "None")])
def test_few_epochs_have_markers(tmp_path, figures, count, marker):
    """Without markers, the curve of one epoch would be invisible; more than 30 markers would hide the curve."""
    draw(tmp_path, ROWS[:count])
    lines = [line for axes in figures[0].axes for line in axes.lines]
    assert [line.get_marker() for line in lines] == [marker] * 4


def test_an_epoch_of_nan_is_drawn(tmp_path):
    for rows in ([ROWS[0] | {"top1": nan, "loss": nan}], [ROWS[0], ROWS[1] | {"top1": nan}]):
        with Image.open(draw(tmp_path, rows)) as picture:
            assert picture.size == (1200, 408)


def test_different_curves_give_different_pictures_and_equal_curves_the_same_picture(tmp_path):
    pictures = [draw(tmp_path, rows).read_bytes() for rows in (ROWS, ROWS[:2], ROWS)]
    assert pictures[0] == pictures[2] != pictures[1]


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_axis_of_a_metric_ends_at_0_and_100_percent(tmp_path, figures, value):
    draw(tmp_path, [row | {"top1": value} for row in ROWS[:3]])
    low, high = figures[0].axes[1].get_ylim()
    assert -1 <= low < high <= 101


@pytest.mark.parametrize(("metric", "prefix"), [("top1", ""), ("top1", "ema_"), ("loss", ""), ("loss", "ema_")])
def test_the_epoch_whose_weights_are_kept_is_marked(tmp_path, metric, prefix):
    rows = [row | {"ema_top1": row["top1"] / 2} for row in ROWS[:5]]
    marks = [draw(tmp_path, rows, metric, best=(epoch, prefix)).read_bytes() for epoch in (2, 4)]
    assert len({draw(tmp_path, rows, metric).read_bytes(), *marks}) == 3
