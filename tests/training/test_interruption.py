"""A run that was stopped or killed ends with the same bits when it is resumed.

Runs used to be killed at twenty random moments, and groups of processes at three. What a kill leaves behind depends
only on which files are complete, so the tests kill once at each moment that differs in this: before the first step,
within an epoch, before validation, between the state and the results, after an epoch, and while a state is written.
`test_run_state.py` covers each renaming of a save, `test_several_processes.py` groups of processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from levit.errors import LevitError
from levit.images import decoding
from levit.images.opening import opened_file
from levit.training.build_loop import build_training_loop
from levit.training.datasets import open_training_data
from levit.training.environment import build_accelerator
from levit.training.options import TrainingOptions
from levit.training.output_directory import lock_run_directory
from levit.training.run_state import load_state
from levit.training.train import run_training, train
from tests.training.process_groups import (
    TIMEOUT,
    KillAt,
    KillInSave,
    killed_at_end,
    start,
    wait,
    wait_until,
)
from tests.training.runs import (
    AFTER_EVERY_STEP,
    COLORS,
    StopAfterSteps,
    StopAtStart,
    StopInValidation,
    assert_same_run,
    read_results,
    read_tensors,
)
from tests.training.tiny import save_levit

DISTILLED = {
    "distillation": "soft", "tau": 2.0, "accumulate": 2, "layer_decay": 0.8, "class_weights": "balanced",
    "cooldown_epochs": 1, "freeze": "stem", "epochs": 1, "warmup_epochs": 0.5,
}  # fmt: skip
CACHED = {"distillation": "soft", "teacher_views": 2, "cutmix": 1.0, "ema": 0.9, "ema_warmup": True}

needs_sigkill = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"save_minutes": AFTER_EVERY_STEP}, id="saved after every step", marks=pytest.mark.slow),
        pytest.param({"optimizer": "muon"}, id="muon"),
        pytest.param(DISTILLED, id="distilled, accumulated, decayed, weighted", marks=pytest.mark.slow),
        pytest.param(CACHED, id="with kept scores", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_stopped_after_any_step_is_resumed_to_the_same_bits(
    run_options: TrainingOptions, tmp_path: Path, values: dict[str, Any]
) -> None:
    if values in (DISTILLED, CACHED):
        values = {**values, "teacher": str(save_levit(tmp_path / "teacher", COLORS))}
    options = run_options.with_values(**values)
    train(options)
    stopped = options.with_values(out=str(tmp_path / "stopped"), resume=True)
    for steps in (1, 2, 2):  # within an epoch, at its end, and across two epochs
        assert not run_training(stopped, [StopAfterSteps(steps)]).is_complete
    assert train(stopped).is_complete
    assert_same_run(options.run.out, stopped.run.out)


def test_a_run_that_is_stopped_before_its_first_step_starts_again(run_options: TrainingOptions, tmp_path: Path) -> None:
    options = run_options.with_values(epochs=1)
    train(options)
    stopped = options.with_values(out=str(tmp_path / "stopped"), resume=True)
    assert not run_training(stopped, [StopAtStart()]).is_complete
    assert not (tmp_path / "stopped" / "last").exists()
    assert train(stopped).is_complete
    assert_same_run(options.run.out, stopped.run.out)


def test_a_run_that_is_stopped_during_validation_is_resumed_to_the_same_bits(
    run_options: TrainingOptions, tmp_path: Path
) -> None:
    train(run_options)
    stopped = run_options.with_values(out=str(tmp_path / "stopped"), resume=True)
    assert not run_training(stopped, [StopInValidation()]).is_complete
    state = load_state(Path(stopped.run.out))
    assert state is not None
    assert (state.progress.epoch, state.progress.step) == (0, 3)
    assert train(stopped).is_complete
    assert_same_run(run_options.run.out, stopped.run.out)
    row = read_results(stopped.run.out)[0]  # the steps before the signal count
    images = 3 * run_options.optimizer.batch_size
    assert row["seconds"] == pytest.approx(state.progress.seconds)
    assert row["images_per_second"] == pytest.approx(images / state.progress.seconds)


class SignalWhileWaiting:
    """Batches of which only the first ones arrive; then there is a signal."""

    def __init__(self, batches: Any, count: int, number: signal.Signals) -> None:
        self._batches, self._count, self._number = batches, count, number

    def __iter__(self) -> Iterator[Any]:
        yield from islice(self._batches, self._count)
        signal.raise_signal(self._number)
        pytest.fail("the wait goes on")


@pytest.mark.parametrize(
    ("accumulate", "count", "number"),
    [(1, 1, signal.SIGINT), (2, 3, signal.SIGTERM)],
    ids=["before a step", "between two microbatches"],
)
def test_a_signal_ends_the_wait_for_a_batch_that_never_arrives(
    run_options: TrainingOptions, tmp_path: Path, accumulate: int, count: int, number: signal.Signals
) -> None:
    options = run_options.with_values(accumulate=accumulate)
    train(options)
    stopped = options.with_values(out=str(tmp_path / "stopped"), resume=True)
    with lock_run_directory(stopped):
        loop = build_training_loop(stopped, open_training_data(stopped.data), build_accelerator(stopped.run))
        loop.batches = SignalWhileWaiting(loop.batches, count, number)
        assert not loop.run()
    state = load_state(tmp_path / "stopped")
    assert state is not None
    assert (state.progress.epoch, state.progress.step) == (0, 1)
    assert train(stopped).is_complete
    assert_same_run(options.run.out, stopped.run.out)


def test_a_signal_while_an_image_is_read_damages_no_image(
    run_options: TrainingOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names: list[str] = []

    def open_and_signal(*arguments: Any, **values: Any) -> Any:
        names.append(arguments[1])
        if len(names) == run_options.optimizer.batch_size + 3:  # in the second step
            signal.raise_signal(signal.SIGINT)
        return opened_file(*arguments, **values)

    monkeypatch.setattr(decoding, "opened_file", open_and_signal)
    assert not train(run_options, on_bad_image="fail").is_complete
    state = load_state(Path(run_options.run.out))
    assert state is not None
    assert (state.progress.epoch, state.progress.step) == (0, 1)
    assert "StopRequested" not in capsys.readouterr().err


@pytest.mark.slow
@needs_sigkill
def test_a_run_that_is_killed_at_each_kind_of_moment_is_resumed_to_the_same_bits(
    run_options: TrainingOptions, processes: BaseContext, tmp_path: Path
) -> None:
    options = run_options.with_values(save_minutes=AFTER_EVERY_STEP)
    assert wait(start(processes, options)) == [0]
    killed = options.with_values(out=str(tmp_path / "killed"), resume=True)
    moments = [
        KillAt("train_start"), KillAt("step"), KillAt("step", 2), KillAt("validation_start"), KillAt("checkpoint"),
        KillAt("epoch_end"), KillAt("train_start"), KillAt("step", 2),
    ]  # fmt: skip
    for moment in moments:
        assert wait(start(processes, killed, [moment])) == [-signal.SIGKILL]
    assert wait(start(processes, killed)) == [0]
    assert_same_run(options.run.out, killed.run.out)


@pytest.mark.slow
@needs_sigkill
def test_a_run_that_is_killed_while_it_saves_is_resumed_to_the_same_bits(
    run_options: TrainingOptions, processes: BaseContext, tmp_path: Path
) -> None:
    options = run_options.with_values(save_minutes=AFTER_EVERY_STEP)
    assert wait(start(processes, options)) == [0]
    killed = options.with_values(out=str(tmp_path / "killed"), resume=True)
    run = tmp_path / "killed"
    assert wait(start(processes, killed, [KillInSave(2)])) == [-signal.SIGKILL]
    assert (run / "last" / "training_state.pt").exists()  # of the first save
    assert any(run.glob(".*.partial"))
    assert wait(start(processes, killed)) == [0]
    assert not any(run.glob(".*.partial"))
    assert_same_run(options.run.out, killed.run.out)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_ctrl_c_stops_the_command_and_its_workers_and_a_line_says_how_to_continue(run_options: TrainingOptions) -> None:
    arguments = Path(run_options.run.out).with_suffix(".yaml")
    endless = run_options.with_values(epochs=2000, workers=2, save_minutes=AFTER_EVERY_STEP)
    arguments.write_text(yaml.safe_dump(endless.to_flat()))
    command = [sys.executable, "-m", "levit", "train", "--config", str(arguments)]
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    with killed_at_end(process):
        wait_until((Path(run_options.run.out) / "last" / "training_state.pt").exists)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "the same command with --resume continues" in errors
    assert "Traceback" not in errors
    assert load_state(Path(run_options.run.out)) is not None


def test_weights_that_are_not_finite_do_not_replace_the_last_finite_ones(run_options: TrainingOptions) -> None:
    """A run diverges when it is resumed with another learning rate; another run starts from its last weights."""
    steady = run_options.with_values(epochs=1)
    run = train(steady).folder
    finite = read_tensors(run)
    wild = steady.with_values(epochs=2, lr=1e30, clip=0.0, warmup_epochs=0.0)
    (run / "args.yaml").write_text(yaml.safe_dump(wild.to_flat()))
    with pytest.raises(LevitError, match=rf"another run with `model={run / 'last'}` and another `out`, and with `lr="):
        train(wild, resume=True)
    tensors = read_tensors(run)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in finite.items())
    assert train(steady, model=str(run / "last"), out=f"{run}-again").is_complete


def test_files_that_a_kill_at_the_very_end_left_out_are_written_when_the_run_is_resumed(
    run_options: TrainingOptions,
) -> None:
    run = train(run_options, epochs=1).folder
    average = (run / "ema" / "model.safetensors").read_bytes()
    shutil.rmtree(run / "ema")
    (run / "results.csv").unlink()
    train(run_options, epochs=1, resume=True)
    assert (run / "ema" / "model.safetensors").read_bytes() == average
    assert len(read_results(run)) == 1
