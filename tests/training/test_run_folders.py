"""Run directories without a name, and the one that is resumed."""

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from levit.errors import ConfigError
from levit.training.output_directory import LOCK_FILE, lock_run_directory, write_arguments
from levit.training.progress import Progress
from levit.training.run_folders import find_incomplete_run, new_run_folder
from levit.training.run_state import Fingerprint, RunState, save_state


@pytest.fixture
def add_run(options, tmp_path):
    """Write a run of two epochs, of which some are complete."""

    def write(name, *, epochs=None, data="photos", **progress):
        run = tmp_path / "runs" / name
        chosen = options(out=str(run), epochs=2, data=data)
        with lock_run_directory(chosen):
            write_arguments(chosen, "")
        if epochs is not None:
            fingerprint = Fingerprint(images="", step_size=2, num_processes=1)
            state = RunState(fingerprint, Progress(epoch=epochs, **progress), {})
            save_state(run, state, lambda folder: None)
        return run

    return write


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def create(runs):
    with new_run_folder(runs) as folder:
        (folder / "args.yaml").write_text("")
        return folder.name


def test_folders_are_numbered_as_in_ultralytics(runs):
    assert [create(runs) for _ in range(3)] == ["train", "train2", "train3"]
    (runs / "train2" / "args.yaml").unlink()
    (runs / "train2").rmdir()
    assert create(runs) == "train2"


def test_a_file_of_that_name_is_not_replaced(runs):
    runs.mkdir()
    (runs / "train").write_text("mine")
    assert create(runs) == "train2"


@pytest.mark.slow
def test_processes_at_once_get_folders_of_their_own(runs, processes):
    with ProcessPoolExecutor(4, mp_context=processes) as pool:
        names = list(pool.map(create, [runs] * 12))
    assert sorted(names) == sorted(["train", *(f"train{number}" for number in range(2, 13))])


def test_a_folder_that_stays_empty_is_deleted_again(runs):
    with new_run_folder(runs) as folder:
        assert folder.is_dir()
    assert not runs.exists()


def test_a_folder_that_cannot_be_created_is_an_error(runs):
    runs.write_text("")
    with pytest.raises(
        ConfigError, match=r"^out is .*runs, where no folder can be created .*: give a folder for the run$"
    ):
        create(runs)


def test_the_last_incomplete_run_is_found(add_run, runs):
    assert find_incomplete_run(runs=runs) is None
    add_run("train", epochs=1)
    add_run("train9", epochs=1)
    expected = add_run("train10", epochs=1)
    add_run("train11", epochs=2)
    add_run("train12", epochs=1, is_out_of_patience=True)
    add_run("trained", epochs=1)
    assert find_incomplete_run(runs=runs) == expected


def test_a_run_that_was_stopped_before_its_first_save_is_incomplete(add_run, runs):
    assert find_incomplete_run(runs=runs) is None
    run = add_run("train")
    assert find_incomplete_run(runs=runs) == run


def test_a_run_of_other_data_is_not_resumed(add_run, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = add_run("train", epochs=1, data="pets")
    add_run("train2", epochs=1, data="plants")
    assert find_incomplete_run("pets", runs) == run
    assert find_incomplete_run("./pets/", runs) == run
    assert find_incomplete_run(str(Path("pets").absolute()), runs) == run
    assert find_incomplete_run("cars", runs) is None


def test_a_run_in_which_a_process_is_training_is_not_resumed(add_run, runs):
    first, second = add_run("train", epochs=1), add_run("train2", epochs=1)
    with ExitStack() as stack:
        stack.enter_context(FileLock(second / LOCK_FILE, fallback_to_soft=False))
        assert find_incomplete_run(runs=runs) == first
        stack.enter_context(FileLock(first / LOCK_FILE, fallback_to_soft=False))
        assert find_incomplete_run(runs=runs) is None


def test_damaged_runs_are_skipped(add_run, runs):
    run = add_run("train", epochs=1)
    (add_run("train2", epochs=1) / "args.yaml").write_text("- no mapping")
    (add_run("train3", epochs=1) / "args.yaml").write_text(yaml.safe_dump({"data": "photos", "epochs": -1}))
    (add_run("train4", epochs=1) / "last" / "training_state.pt").write_bytes(b"damaged")
    assert find_incomplete_run(runs=runs) == run
