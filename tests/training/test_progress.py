"""Progress of a run: the best epoch, and early stopping."""

from math import nan

import pytest

from levit.training.progress import HIGHER_IS_BETTER, Progress, ranking_key

METRICS = list(HIGHER_IS_BETTER)


def row(top1, loss=0.5, **values):
    return {"top1": top1, "loss": loss, **values}


def test_sums_of_microbatches_are_means_of_the_epoch():
    progress = Progress()
    assert (progress.train_loss, progress.train_top1) == (0.0, 0.0)
    progress.add([8.0, 3.0, 4.0])
    progress.add([2.0, 1.0, 4.0])
    assert (progress.train_loss, progress.train_top1) == (1.25, 0.5)


def test_a_completed_epoch_is_the_start_of_the_next():
    progress = Progress(step=7)
    progress.add([8.0, 3.0, 4.0])
    progress.finish_epoch(row(0.5), metric="top1", patience=0)
    assert (progress.epoch, progress.step, progress.totals) == (1, 0, [0.0, 0.0, 0.0])
    assert progress.history == [row(0.5)]


def test_the_best_epoch_has_the_best_metric_and_of_equal_ones_the_lower_loss():
    progress = Progress()
    rows = [row(0.5), row(0.4), row(0.5, 0.6), row(0.5, 0.4), row(0.6, 0.9)]
    best = [progress.finish_epoch(one, metric="top1", patience=0) for one in rows]
    assert best == ["network", None, None, "network", "network"]
    assert (progress.best, progress.best_epoch) == (0.6, 5)


def test_the_average_may_be_better_than_the_network():
    progress = Progress()
    rows = [row(0.5, ema_top1=0.4, ema_loss=0.1), row(0.5, ema_top1=0.6, ema_loss=0.9)]
    best = [progress.finish_epoch(one, metric="top1", patience=0) for one in rows]
    assert best == ["network", "average"]
    assert (progress.best, progress.best_epoch) == (0.6, 2)


def test_nan_is_never_the_best():
    progress = Progress()
    assert progress.finish_epoch(row(nan), metric="top1", patience=0) is None
    assert (progress.best, progress.best_epoch) == (None, 0)


@pytest.mark.parametrize(("patience", "expected"), [(0, [False] * 4), (2, [False, False, True, True])])
def test_patience_ends_after_epochs_without_a_better_one(patience, expected):
    progress, is_out_of_patience = Progress(), []
    for _ in range(4):
        progress.finish_epoch(row(0.5), metric="top1", patience=patience)
        is_out_of_patience.append(progress.is_out_of_patience)
    assert is_out_of_patience == expected


@pytest.mark.parametrize("metric", METRICS)
def test_higher_is_better_except_for_the_loss(metric):
    better, worse = (1.0, 0.5) if metric != "loss" else (0.5, 1.0)
    assert ranking_key({"loss": 0.3, metric: better}, metric) > ranking_key({"loss": 0.3, metric: worse}, metric)


def test_of_equal_metrics_the_lower_loss_is_better():
    worse, better = (row(0.5, loss, ema_top1=0.4, ema_loss=0.1) for loss in (0.7, 0.6))
    assert ranking_key(better, "top1") > ranking_key(worse, "top1") > ranking_key(better, "top1", "ema_")


@pytest.mark.parametrize("metric", METRICS)
def test_nan_is_worse_than_any_number(metric):
    worst = {"loss": 1e9, metric: -1e9 if metric != "loss" else 1e9}
    assert ranking_key({"loss": nan, metric: nan}, metric) < ranking_key(worst, metric)
