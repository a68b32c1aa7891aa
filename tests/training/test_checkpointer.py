"""Checkpoints after some of the epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

from levit.training import loop
from levit.training.callbacks import Callback, StepReport
from levit.training.options import TrainingOptions
from levit.training.progress import Progress
from levit.training.run_state import load_state
from levit.training.train import train
from tests.training.runs import StopAfterSteps, assert_same_run, read_results


class SavedEpochs(Callback):
    """Epochs after which the run directory was written."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_checkpoint(self, progress: Progress) -> None:
        self.epochs.append(progress.epoch)


@pytest.fixture
def options(run_options: TrainingOptions) -> TrainingOptions:
    """Options of a run of three epochs of three steps, of which the second and the last are saved."""
    return run_options.with_values(epochs=3, save_epochs=2)


@pytest.mark.slow
def test_a_run_that_saves_some_of_its_epochs_ends_as_one_that_saves_all(
    options: TrainingOptions, tmp_path: Path
) -> None:
    saved = SavedEpochs()
    some = train(options, callbacks=[saved])
    every = train(options, save_epochs=1, out=str(tmp_path / "every"))
    assert saved.epochs == [2, 3]
    assert (some.best, some.best_epoch) == (every.best, every.best_epoch)
    assert_same_run(some.folder, every.folder)


class Clock(Callback):
    """A clock that advances by twenty seconds in each step, and the positions of the run that are saved."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.saved: list[tuple[int, int]] = []

    def monotonic(self) -> float:
        """The time in seconds."""
        return self.seconds

    def on_step(self, report: StepReport) -> None:
        self.seconds += 20

    def on_checkpoint(self, progress: Progress) -> None:
        self.saved.append((progress.epoch, progress.step))


def test_minutes_between_checkpoints_also_count_in_epochs_that_are_not_saved(
    options: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(loop, "time", clock)
    train(options, save_minutes=1.0, save_epochs=3, callbacks=[clock])
    assert clock.saved == [(1, 2), (3, 0)]


@pytest.mark.slow
@pytest.mark.parametrize("select", ["best", "last"])
def test_a_run_that_is_stopped_saves_the_best_weights_of_epochs_that_were_not_saved(
    options: TrainingOptions, tmp_path: Path, select: str
) -> None:
    folders = []
    for save_epochs in (1, 3):
        out = tmp_path / f"{save_epochs}"
        stopped = options.with_values(out=str(out), save_epochs=save_epochs, select=select)
        run = train(stopped, callbacks=[StopAfterSteps(8)])  # in the third epoch
        assert not run.is_complete
        state = load_state(out)
        assert state is not None
        assert (state.progress.epoch, state.progress.step) == (2, 2)
        assert [row["epoch"] for row in read_results(out)] == [1, 2]
        folders.append(out)
    assert_same_run(*folders)
    complete = train(options, out=str(tmp_path / "complete"), select=select)
    resumed = train(stopped, resume=True)
    assert_same_run(resumed.folder, complete.folder)
