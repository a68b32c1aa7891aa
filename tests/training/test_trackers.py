"""Experiment trackers: a resumed run continues its run at Weights & Biases."""

from types import SimpleNamespace

from levit.training.progress import Progress
from levit.training.trackers import Tracker


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
