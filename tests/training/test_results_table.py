"""Results of a run: the table of its epochs."""

import csv

import pytest

from levit.errors import CheckpointError
from levit.training.progress import Progress
from levit.training.results_table import CURVES_FILE, RESULTS_FILE, ResultsTable, write_results

ROWS = [
    {"epoch": epoch, "train_loss": 2 / epoch, "loss": 2.5 / epoch, "top1": 0.1 * epoch, "lr": 0.1 / epoch}
    for epoch in (1, 2, 3)
]


def test_results_are_a_table(tmp_path):
    write_results(tmp_path / RESULTS_FILE, ROWS)
    with (tmp_path / RESULTS_FILE).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == ROWS
    assert (tmp_path / RESULTS_FILE).read_text().splitlines()[0] == "epoch,train_loss,loss,top1,lr"


def test_a_checkpoint_before_the_first_epoch_writes_no_results(tmp_path):
    ResultsTable(tmp_path, "top1").on_checkpoint(Progress(step=3))
    assert list(tmp_path.iterdir()) == []


def test_results_and_curves_are_written_once_for_every_epoch(tmp_path):
    table = ResultsTable(tmp_path, "top1")
    table.on_checkpoint(Progress(epoch=1, history=ROWS[:1]))
    assert {path.name for path in tmp_path.iterdir()} == {RESULTS_FILE, CURVES_FILE}
    (tmp_path / CURVES_FILE).unlink()
    table.on_checkpoint(Progress(epoch=1, step=2, history=ROWS[:1]))
    assert not (tmp_path / CURVES_FILE).exists()
    table.on_checkpoint(Progress(epoch=2, history=ROWS[:2]))
    assert (tmp_path / CURVES_FILE).exists()
    assert len((tmp_path / RESULTS_FILE).read_text().splitlines()) == 3


def test_a_resumed_run_writes_the_results_that_a_killed_process_left_out(tmp_path):
    ResultsTable(tmp_path, "top1").on_checkpoint(Progress(epoch=3, history=ROWS))
    assert len((tmp_path / RESULTS_FILE).read_text().splitlines()) == 4


def test_results_that_cannot_be_written_are_an_error_of_one_line(tmp_path):
    (tmp_path / RESULTS_FILE).mkdir()
    with pytest.raises(CheckpointError, match=r"cannot be written .*: free space on the disk") as caught:
        ResultsTable(tmp_path, "top1").on_checkpoint(Progress(epoch=3, history=ROWS))
    assert "\n" not in str(caught.value)
