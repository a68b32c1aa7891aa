"""The saved state of a run is complete or absent, whenever the process is killed."""

import os
import signal
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from levit.errors import CheckpointError
from levit.files import temporary_path
from levit.training.progress import Progress
from levit.training.run_state import (
    LAST,
    STATE_FILE,
    Fingerprint,
    RunState,
    drop_tensors,
    finish_interrupted_save,
    load_state,
    new_run_hint,
    save_state,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
PROGRESS = st.builds(
    Progress,
    epoch=st.integers(0, 2000),
    step=st.integers(0, 10**6),
    totals=st.lists(FINITE, min_size=3, max_size=3),
    seconds=FINITE,
    history=st.lists(st.dictionaries(st.sampled_from(["epoch", "loss", "top1", "lr"]), FINITE), max_size=3),
    best=st.none() | FINITE,
    best_epoch=st.integers(0, 2000),
    best_weights=st.sampled_from([None, "network", "average"]),
    is_out_of_patience=st.booleans(),
)
FINGERPRINT = Fingerprint(images="0f1e", step_size=16, num_processes=2)


def write_model(folder):
    (folder / "model.safetensors").write_bytes(b"weights")


def save(run, epoch, write=write_model):
    tensors = {"network": {"weight": torch.full((3,), float(epoch))}}
    save_state(run, RunState(FINGERPRINT, Progress(epoch=epoch), tensors), write)


def saved_epoch(run):
    state = load_state(run)
    if state is None:
        return None
    assert state.fingerprint == FINGERPRINT
    assert torch.equal(state.tensors["network"]["weight"], torch.full((3,), float(state.progress.epoch)))
    assert (run / LAST / "model.safetensors").read_bytes() == b"weights"
    return state.progress.epoch


def names(run):
    return [path.name for path in run.iterdir()]


@given(progress=PROGRESS)
def test_progress_is_restored(tmp_path_factory, progress):
    run = tmp_path_factory.mktemp("run")
    save_state(run, RunState(FINGERPRINT, progress, {}), write_model)
    assert load_state(run) == (FINGERPRINT, progress, {})


def test_a_state_of_an_earlier_version_has_no_duration_of_its_steps(tmp_path):
    save(tmp_path, 3)
    file = tmp_path / LAST / STATE_FILE
    content = torch.load(file)
    del content["progress"]["seconds"]
    torch.save(content, file)
    assert load_state(tmp_path).progress == Progress(epoch=3)


@pytest.mark.parametrize(
    ("values", "changes"),
    [
        ({}, ""),
        ({"from_scratch": True}, ", `from_scratch=False`"),
        ({"from_scratch": True, "patch_size": 8}, ", `from_scratch=False`, no `patch_size`"),
    ],
)
def test_a_hint_says_how_to_use_the_weights_of_a_run_in_another_one(options, tmp_path, values, changes):
    expected = f"start another run with `model={tmp_path / 'last'}`{changes} and another `out`"
    assert new_run_hint(tmp_path, options(**values).model) == expected


def test_tensors_are_restored(tmp_path):
    tensors = {
        "network": {"a": torch.randn(3), "b": torch.tensor(7)},
        "optimizer": {"state": {"a": {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": ["a"]}]},
        "average": None,
    }
    save_state(tmp_path, RunState(FINGERPRINT, Progress(), tensors), write_model)
    restored = load_state(tmp_path).tensors
    assert torch.equal(restored["network"]["a"], tensors["network"]["a"])
    assert restored["network"]["b"].dtype == torch.int64
    assert restored["optimizer"]["param_groups"] == tensors["optimizer"]["param_groups"]
    assert restored["average"] is None


def test_the_tensors_of_a_complete_run_can_be_deleted(tmp_path):
    save(tmp_path, 3)
    state = load_state(tmp_path)
    drop_tensors(tmp_path, FINGERPRINT, state.progress)
    assert load_state(tmp_path) == (FINGERPRINT, state.progress, {})
    assert (tmp_path / LAST / "model.safetensors").read_bytes() == b"weights"
    assert sorted(names(tmp_path / LAST)) == ["model.safetensors", STATE_FILE]


def test_a_run_without_a_state_has_none(tmp_path):
    finish_interrupted_save(tmp_path)
    assert load_state(tmp_path) is None
    (tmp_path / LAST).mkdir()
    assert load_state(tmp_path) is None


def test_each_save_replaces_the_one_before(tmp_path):
    for epoch in (1, 2):
        save(tmp_path, epoch)
        assert saved_epoch(tmp_path) == epoch
        assert names(tmp_path) == [LAST]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interruption_while_the_model_is_written_leaves_the_old_state(tmp_path, error):
    def interrupted(folder):
        write_model(folder)
        raise error

    save(tmp_path, 1)
    with pytest.raises(error):
        save(tmp_path, 2, interrupted)
    finish_interrupted_save(tmp_path)
    assert saved_epoch(tmp_path) == 1
    save(tmp_path, 3)
    assert saved_epoch(tmp_path) == 3
    assert names(tmp_path) == [LAST]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_full_disk_is_an_error_of_one_line_and_leaves_the_old_state(tmp_path, error):
    def full(folder):
        raise error

    save(tmp_path, 1)
    match = r"last cannot be written \(.*(No space|failed).*: free space on the disk, and continue"
    with pytest.raises(CheckpointError, match=match) as caught:
        save(tmp_path, 2, full)
    assert "\n" not in str(caught.value)
    assert saved_epoch(tmp_path) == 1


def save_and_be_killed(run):
    """Be killed while the new state is incomplete."""

    def write(folder):
        write_model(folder)
        os.kill(os.getpid(), signal.SIGKILL)

    save(run, 2, write)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_that_is_killed_while_it_writes_leaves_the_old_state(tmp_path, processes):
    save(tmp_path, 1)
    process = processes.Process(target=save_and_be_killed, args=(tmp_path,))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2
    finish_interrupted_save(tmp_path)
    assert saved_epoch(tmp_path) == 1
    assert names(tmp_path) == [LAST]


def leave_complete_state(run, *, has_old_state):
    """What a process leaves that is killed after the new state is complete, before or after the old one is deleted."""
    save(run, 2)
    (run / LAST).rename(run / ".last.complete")
    if has_old_state:
        elsewhere = run / "elsewhere"
        elsewhere.mkdir()
        save(elsewhere, 1)
        (elsewhere / LAST).rename(run / LAST)
        elsewhere.rmdir()


@pytest.mark.parametrize("has_old_state", [False, True])
def test_a_complete_state_replaces_the_old_one(tmp_path, has_old_state):
    leave_complete_state(tmp_path, has_old_state=has_old_state)
    finish_interrupted_save(tmp_path)
    assert saved_epoch(tmp_path) == 2
    assert names(tmp_path) == [LAST]


def test_a_save_finishes_the_one_that_was_interrupted_before_it(tmp_path):
    leave_complete_state(tmp_path, has_old_state=True)

    def fails(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 3, fails)
    finish_interrupted_save(tmp_path)
    assert saved_epoch(tmp_path) == 2
    save(tmp_path, 4)
    assert saved_epoch(tmp_path) == 4


def test_incomplete_files_of_killed_processes_are_deleted(tmp_path):
    temporary_path(tmp_path).mkdir()
    temporary_path(tmp_path).write_text("half of a table")
    (tmp_path / ".hidden").touch()
    save(tmp_path, 1)
    assert sorted(names(tmp_path)) == [".hidden", LAST]


@pytest.mark.parametrize("content", [b"", b"no zip", "half"])
def test_a_damaged_state_is_an_error_of_one_line(tmp_path, content):
    save(tmp_path, 1)
    file = tmp_path / LAST / STATE_FILE
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    match = r"training_state\.pt: damaged .*: start another run with another `out`"
    with pytest.raises(CheckpointError, match=match) as caught:
        load_state(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", [{}, {"progress": {"epochs": 3}}, [1, 2]])
def test_the_state_of_another_program_is_damaged(tmp_path, state):
    (tmp_path / LAST).mkdir()
    torch.save(state, tmp_path / LAST / STATE_FILE)
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(tmp_path)


def test_a_state_that_would_run_a_program_is_not_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    (tmp_path / LAST).mkdir()
    torch.save({"progress": Trap()}, tmp_path / LAST / STATE_FILE)
    with pytest.raises(CheckpointError):
        load_state(tmp_path)
    assert not (tmp_path / "sprung").exists()
