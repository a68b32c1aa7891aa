"""A saved state is complete or absent, whenever the process is killed."""

import os
import signal
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from levit.errors import CheckpointError
from levit.training import checkpointer
from levit.training.checkpointer import (
    LAST,
    STATE_FILE,
    Basis,
    Progress,
    load_state,
    save_state,
    settle_last,
    write_text,
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)
PROGRESS = st.builds(
    Progress,
    epoch=st.integers(0, 2000),
    step=st.integers(0, 10**6),
    sums=st.lists(FINITE, min_size=3, max_size=3),
    rows=st.lists(st.dictionaries(st.sampled_from(["epoch", "loss", "top1", "lr"]), FINITE), max_size=3),
    best=st.none() | FINITE,
    best_epoch=st.integers(-1, 2000),
    is_over=st.booleans(),
)
BASIS = Basis(images="0f1e", step_size=16, processes=2)


def write_model(folder):
    (folder / "model.safetensors").write_bytes(b"weights")


def save(run, epoch, write=write_model):
    save_state(run, BASIS, Progress(epoch=epoch), {"network": {"weight": torch.full((3,), float(epoch))}}, write)


def epoch_of(run):
    found = load_state(run)
    if found is None:
        return None
    basis, progress, tensors = found
    assert basis == BASIS
    assert torch.equal(tensors["network"]["weight"], torch.full((3,), float(progress.epoch)))
    assert (run / LAST / "model.safetensors").read_bytes() == b"weights"
    return progress.epoch


@given(progress=PROGRESS)
def test_progress_comes_back_as_it_was(tmp_path_factory, progress):
    run = tmp_path_factory.mktemp("run")
    save_state(run, BASIS, progress, {}, write_model)
    assert load_state(run) == (BASIS, progress, {})


def test_tensors_come_back_as_they_were(tmp_path):
    tensors = {
        "network": {"a": torch.randn(3), "b": torch.tensor(7)},
        "optimizer": {"state": {"a": {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": ["a"]}]},
        "average": None,
    }
    save_state(tmp_path, BASIS, Progress(), tensors, write_model)
    _, _, found = load_state(tmp_path)
    assert torch.equal(found["network"]["a"], tensors["network"]["a"])
    assert found["network"]["b"].dtype == torch.int64
    assert found["optimizer"]["param_groups"] == tensors["optimizer"]["param_groups"]
    assert found["average"] is None


def test_nothing_saved_is_nothing(tmp_path):
    settle_last(tmp_path)
    assert load_state(tmp_path) is None
    (tmp_path / LAST).mkdir()
    assert load_state(tmp_path) is None


def test_each_save_takes_the_place_of_the_one_before(tmp_path):
    for epoch in (1, 2):
        save(tmp_path, epoch)
        assert epoch_of(tmp_path) == epoch
        assert [path.name for path in tmp_path.iterdir()] == [LAST]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interruption_while_the_model_is_written_leaves_the_old_state(tmp_path, error):
    def interrupted(folder):
        write_model(folder)
        raise error

    save(tmp_path, 1)
    with pytest.raises(error):
        save(tmp_path, 2, interrupted)
    settle_last(tmp_path)
    assert epoch_of(tmp_path) == 1
    save(tmp_path, 3)
    assert epoch_of(tmp_path) == 3
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_full_disk_is_said_and_leaves_the_old_state(tmp_path, error):
    def full(folder):
        raise error

    save(tmp_path, 1)
    with pytest.raises(
        CheckpointError, match=r"last: cannot be written \(.*(No space|failed).*: make room, and"
    ) as caught:
        save(tmp_path, 2, full)
    assert "\n" not in str(caught.value)
    assert epoch_of(tmp_path) == 1


def killed_in(run, name, place):
    """Save in this process, and be killed before a function of the module is called for the n-th time."""
    calls, before = [], getattr(checkpointer, name)

    def counted(*arguments):
        if len(calls) == place:
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(None)
        return before(*arguments)

    setattr(checkpointer, name, counted)
    save(run, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of Unix")
@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [("_flush", 0, 1), ("settle_last", 0, 1), ("settle_last", 1, 2)],
)
def test_a_killed_process_leaves_the_old_state_or_the_new_one(tmp_path, processes, name, place, expected):
    save(tmp_path, 1)
    process = processes.Process(target=killed_in, args=(tmp_path, name, place))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    settle_last(tmp_path)
    assert epoch_of(tmp_path) == expected
    save(tmp_path, 3)
    assert epoch_of(tmp_path) == 3
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def interrupted_between(run, *, is_old_there):
    save(run, 2)
    (run / LAST).rename(run / ".last.complete")
    if is_old_there:
        save_to = run / "other"
        save_to.mkdir()
        save(save_to, 1)
        (save_to / LAST).rename(run / LAST)
        save_to.rmdir()


@pytest.mark.parametrize("is_old_there", [False, True])
def test_a_complete_state_gets_its_name_after_all(tmp_path, is_old_there):
    interrupted_between(tmp_path, is_old_there=is_old_there)
    settle_last(tmp_path)
    assert epoch_of(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == [LAST]


def test_a_save_settles_what_was_interrupted_before_it(tmp_path):
    interrupted_between(tmp_path, is_old_there=True)

    def fails(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 3, fails)
    settle_last(tmp_path)
    assert epoch_of(tmp_path) == 2
    save(tmp_path, 4)
    assert epoch_of(tmp_path) == 4


@pytest.mark.parametrize("content", [b"", b"no zip", "half"])
def test_a_damaged_state_is_said_in_one_line(tmp_path, content):
    save(tmp_path, 1)
    file = tmp_path / LAST / STATE_FILE
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    with pytest.raises(CheckpointError, match=r"training_state\.pt: damaged .*start anew with another --out") as caught:
        load_state(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("state", [{}, {"progress": {"epochs": 3}}, [1, 2]])
def test_the_state_of_something_else_is_damaged(tmp_path, state):
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


def test_a_text_is_whole_or_what_it_was(tmp_path, monkeypatch):
    file = tmp_path / "results.csv"
    write_text(file, "ä\n")
    assert file.read_text(encoding="utf-8") == "ä\n"

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpointer.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(file, "b")
    assert file.read_text(encoding="utf-8") == "ä\n"
