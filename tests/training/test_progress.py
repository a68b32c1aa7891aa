"""Progress of a run: the best epoch, and early stopping."""

from dataclasses import asdict
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
    best = [progress.finish_epoch(one, metric="top1", patience=0, window=1) for one in rows]
    assert best == ["network", "average"]
    assert (progress.best, progress.best_epoch, progress.best_weights) == (0.6, 2, "average")


def finish(averages, **values):
    """Progress after epochs with these accuracies of the average, and a network that is worse."""
    progress = Progress()
    best = [
        progress.finish_epoch(row(0.1, ema_top1=value, ema_loss=0.5), metric="top1", **{"patience": 0} | values)
        for value in averages
    ]
    return progress, [epoch for epoch, weights in enumerate(best, 1) if weights]


def test_with_an_average_one_lucky_epoch_is_not_the_best():
    averages = [0.60, 0.70, 0.80, 0.70, 0.71, 0.74, 0.76, 0.77]
    progress, better = finish(averages)  # means of three epochs: 0.6, 0.65, 0.7, 0.733, 0.737, 0.717, 0.737, 0.757
    assert better == [1, 2, 3, 4, 5, 8]
    assert (progress.best, progress.best_epoch) == (0.77, 8)
    progress, better = finish(averages, window=1)
    assert better == [1, 2, 3]
    assert (progress.best, progress.best_epoch) == (0.80, 3)


def test_without_an_average_the_metric_of_a_single_epoch_counts_unless_a_window_is_given():
    for window, epoch in ((None, 2), (1, 2), (2, 3)):
        progress = Progress()
        for value in (0.5, 0.8, 0.7, 0.6):
            progress.finish_epoch(row(value), metric="top1", patience=0, window=window)
        assert (progress.best_epoch, progress.best) == (epoch, [0.5, 0.8, 0.7][epoch - 1])


def test_patience_counts_epochs_without_a_better_window():
    progress, _ = finish([0.5, 0.8, 0.5, 0.5, 0.5], patience=2)
    assert (progress.best_epoch, progress.is_out_of_patience) == (2, True)
    progress, _ = finish([0.5, 0.8, 0.7], patience=1)  # the mean still grows
    assert (progress.best_epoch, progress.is_out_of_patience) == (3, False)


def test_a_run_that_is_resumed_after_any_epoch_has_the_same_best_epochs():
    averages = [0.6, 0.8, 0.7, 0.71, 0.74, 0.76]
    _, expected = finish(averages)
    for epoch in range(1, len(averages)):
        first, better = finish(averages[:epoch])
        progress = Progress(**asdict(first))
        for number, value in enumerate(averages[epoch:], epoch + 1):
            if progress.finish_epoch(row(0.1, ema_top1=value, ema_loss=0.5), metric="top1", patience=0):
                better.append(number)
        assert better == expected


def test_nan_within_a_window_is_never_the_best():
    _, better = finish([0.5, nan, 0.9, 0.9, 0.6])
    assert better == [1, 5]


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


def test_a_run_is_complete_at_its_last_epoch_or_when_it_is_out_of_patience():
    assert [Progress(epoch=epoch).is_complete(3) for epoch in (2, 3, 4)] == [False, True, True]
    assert Progress(epoch=2, is_out_of_patience=True).is_complete(3)


@pytest.mark.parametrize("metric", METRICS)
def test_higher_is_better_except_for_the_loss(metric):
    better, worse = (1.0, 0.5) if metric != "loss" else (0.5, 1.0)
    assert ranking_key([{"loss": 0.3, metric: better}], metric) > ranking_key([{"loss": 0.3, metric: worse}], metric)


def test_of_equal_metrics_the_lower_loss_is_better():
    worse, better = ([row(0.5, loss, ema_top1=0.4, ema_loss=0.1)] for loss in (0.7, 0.6))
    assert ranking_key(better, "top1") > ranking_key(worse, "top1") > ranking_key(better, "top1", "ema_")


@pytest.mark.parametrize("metric", METRICS)
def test_nan_is_worse_than_any_number(metric):
    worst = {"loss": 1e9, metric: -1e9 if metric != "loss" else 1e9}
    assert ranking_key([{"loss": nan, metric: nan}], metric) < ranking_key([worst], metric)
