"""Experiment trackers: what is logged, and that a resumed run continues its run."""

from types import SimpleNamespace

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from levit.training.callbacks import Callback
from levit.training.progress import Progress
from levit.training.trackers import Tracker
from levit.training.train import train
from tests.training.runs import read_results


def settings_of(options, *, is_main_process=True):
    """What accelerate passes to `wandb.init` when a run starts."""
    calls = []
    accelerator = SimpleNamespace(
        is_main_process=is_main_process, init_trackers=lambda project, config, init_kwargs: calls.append(init_kwargs)
    )
    Tracker(accelerator, options).on_train_start(Progress())
    (init_kwargs,) = calls
    return init_kwargs["wandb"]


def test_a_run_has_its_name_its_files_and_its_number_in_the_run_directory(options, tmp_path):
    runs = [tmp_path / name for name in ("photos", "others")]
    for run in runs:
        run.mkdir()
    first, second = (settings_of(options(out=str(run), report_to="wandb")) for run in runs)
    assert (first["name"], first["dir"], first["resume"]) == ("photos", str(runs[0]), "allow")
    assert first["id"] != second["id"]
    assert settings_of(options(out=str(runs[0]), report_to="wandb")) == first


def test_only_the_first_process_writes_the_number_of_the_run(options, tmp_path):
    assert settings_of(options(out=str(tmp_path), report_to="wandb"), is_main_process=False) == {}
    assert list(tmp_path.iterdir()) == []


class FailAfterEpoch(Callback):
    """A mistake at the end of an epoch, after it was logged."""

    def __init__(self, epoch):
        self._epoch = epoch

    def on_epoch_end(self, progress, *, is_best):
        if progress.epoch == self._epoch:
            raise ZeroDivisionError


class FailAfterSave(FailAfterEpoch):
    """A mistake after an epoch was saved, and before it was logged."""

    def on_checkpoint(self, progress):
        self.on_epoch_end(progress, is_best=False)


@pytest.mark.parametrize("failure", [FailAfterEpoch(3), FailAfterSave(2)], ids=["after the log", "before the log"])
def test_tensorboard_has_each_epoch_once_with_the_values_of_the_table_of_results(run_options, failure):
    """The third epoch is logged twice, because its state was not saved; or the second one is logged by another run."""
    options = run_options.with_values(epochs=4, save_epochs=2, report_to="tensorboard")
    with pytest.raises(ZeroDivisionError):
        train(options, callbacks=[failure])
    run = train(options, resume=True)
    logged = EventAccumulator(str(run.folder / "tensorboard"))
    logged.Reload()
    rows = read_results(run.folder)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert set(logged.Tags()["scalars"]) == set(rows[0]) - {"epoch"}
    for name in logged.Tags()["scalars"]:
        events = logged.Scalars(name)
        assert [event.step for event in events] == [1, 2, 3, 4], name
        assert [event.value for event in events] == pytest.approx([row[name] for row in rows], rel=1e-4), name


def test_trackers_are_closed_at_the_end_of_a_run(options):
    closed = []
    trackers = [SimpleNamespace(finish=lambda name=name: closed.append(name)) for name in ("a", "b")]
    Tracker(SimpleNamespace(trackers=trackers), options()).on_train_end(Progress())
    assert closed == ["a", "b"]
