"""What came of every epoch: a table, and curves."""

import csv
from math import nan

import numpy as np
import pytest
from PIL import Image

from levit.training import results_table
from levit.training.results_table import CURVES_FILE, RESULTS_FILE, draw_curves, write_results

ROWS = [
    {"epoch": epoch, "train_loss": 2 / epoch, "loss": 2.5 / epoch, "top1": 10.0 * epoch, "lr": 0.1 / epoch}
    for epoch in (1, 2, 3)
]


def test_results_are_a_table(tmp_path):
    write_results(tmp_path, ROWS)
    with (tmp_path / RESULTS_FILE).open(newline="") as stream:
        found = list(csv.DictReader(stream))
    assert [{name: float(value) for name, value in row.items()} for row in found] == ROWS
    assert (tmp_path / RESULTS_FILE).read_text().splitlines()[0] == "epoch,train_loss,loss,top1,lr"


def test_no_results_are_no_file(tmp_path):
    write_results(tmp_path, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("metric", ["top1", "loss"])
@pytest.mark.parametrize("averaged", [False, True])
def test_curves_are_a_picture(tmp_path, metric, averaged):
    rows = [row | ({f"ema_{metric}": row[metric] + 1} if averaged else {}) for row in ROWS]
    draw_curves(tmp_path, rows, metric)
    assert [path.name for path in tmp_path.iterdir()] == [CURVES_FILE]
    with Image.open(tmp_path / CURVES_FILE) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1200, 408)
        colors = {tuple(color) for color in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    assert (0x0B, 0x6E, 0x4F) in colors
    assert ((0xC8, 0x55, 0x3D) in colors) == (averaged and metric != "loss")


@pytest.mark.parametrize("rows", [ROWS[:1], [ROWS[0] | {"top1": nan, "loss": nan}]])
def test_one_epoch_and_what_is_no_number_are_drawn(tmp_path, rows, monkeypatch):
    draw_curves(tmp_path, rows, "top1")
    dotted = (tmp_path / CURVES_FILE).read_bytes()
    monkeypatch.setattr(results_table, "_FEW_EPOCHS", 0)
    draw_curves(tmp_path, rows, "top1")
    assert (tmp_path / CURVES_FILE).read_bytes() != dotted  # a line of one point is not seen


def test_other_curves_are_another_picture_and_the_same_the_same(tmp_path):
    pictures = []
    for rows in (ROWS, ROWS[:2], ROWS):
        draw_curves(tmp_path, rows, "top1")
        pictures.append((tmp_path / CURVES_FILE).read_bytes())
    assert pictures[0] == pictures[2] != pictures[1]
