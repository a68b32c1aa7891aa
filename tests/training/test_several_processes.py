"""Runs of several processes: the losses of one process, signals, kills, and the end of one of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import warnings
from multiprocessing.context import BaseContext
from pathlib import Path

import pytest
import yaml

from levit.errors import LevitWarning
from levit.training import build_loop, run_options
from levit.training.datasets import IMAGE_COPIES
from levit.training.options import TrainingOptions
from levit.training.run_state import load_state
from levit.training.train import train
from tests.training.process_groups import (
    FAILURE,
    KillAt,
    KillFirst,
    SignalAfterStep,
    start,
    start_group,
    train_blocked,
    train_together,
    wait,
    wait_until,
)
from tests.training.runs import AFTER_EVERY_STEP, COLORS, assert_same_run, read_results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="gloo connects processes on Unix"),
]


def test_two_processes_compute_the_losses_of_one(
    run_options: TrainingOptions, processes: BaseContext, tmp_path: Path
) -> None:
    steady = run_options.with_values(drop_path=0.0, freeze_batch_norm=True)
    one, two = steady.with_values(out=str(tmp_path / "one")), steady.with_values(out=str(tmp_path / "two"))
    train_together(processes, two)
    train(one)
    for row, other in zip(read_results(one.run.out), read_results(two.run.out), strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], abs=1e-5)
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-5)


def _train_with_new_heads(options: TrainingOptions) -> None:
    """Train, where the second process has no regression."""
    if os.environ["RANK"] == "1":
        build_loop.start_heads = None  # type: ignore[assignment]
    train(options)


def test_new_heads_of_two_processes_start_as_those_of_one(
    run_options: TrainingOptions, processes: BaseContext, tmp_path: Path
) -> None:
    steady = run_options.with_values(drop_path=0.0, freeze_batch_norm=True, new_heads="linear-probe", epochs=1)
    one, two = steady.with_values(out=str(tmp_path / "one")), steady.with_values(out=str(tmp_path / "two"))
    assert wait(start_group(processes, _train_with_new_heads, (two,), count=2)) == [0, 0]
    train(one)
    [row], [other] = read_results(one.run.out), read_results(two.run.out)
    names = ("train_loss", "loss", "ema_loss")
    assert [row[name] for name in names] == pytest.approx([other[name] for name in names], abs=1e-5)


def _find_run(folder: Path) -> None:
    """Write the run that each process resumes; the second process would find another one."""
    if os.environ["RANK"] == "1":
        run_options.find_incomplete_run = lambda data: folder / "other"  # type: ignore[assignment]
    os.chdir(folder)
    options, _ = run_options.find_resumed_run({"resume": True}, {"resume"})
    (folder / os.environ["RANK"]).write_text(options.run.out)


def test_processes_resume_the_run_that_the_first_one_finds(processes: BaseContext, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "train"
    run.mkdir(parents=True)
    (run / "args.yaml").write_text("data: photos\n")
    assert wait(start_group(processes, _find_run, (tmp_path,), count=2)) == [0, 0]
    assert [(tmp_path / rank).read_text() for rank in "01"] == [str(Path("runs", "train"))] * 2


def test_two_processes_that_are_killed_are_resumed_to_the_same_bits(
    run_options: TrainingOptions, processes: BaseContext, tmp_path: Path
) -> None:
    options = run_options.with_values(save_minutes=AFTER_EVERY_STEP)
    train_together(processes, options)
    killed = options.with_values(out=str(tmp_path / "killed"), resume=True)
    assert wait(start(processes, killed, [KillAt("step", 2)], count=2)) == [-signal.SIGKILL] * 2
    state = load_state(Path(killed.run.out))
    assert state is not None
    assert (state.progress.epoch, state.progress.step) == (0, 1)
    train_together(processes, killed)
    assert_same_run(options.run.out, killed.run.out)


def test_signals_to_several_processes_stop_all_of_them_after_the_same_step(
    run_options: TrainingOptions, processes: BaseContext
) -> None:
    """Each process gets the signal twice, as from Slurm and from torchrun."""
    train_together(processes, run_options.with_values(epochs=2000), [SignalAfterStep()])
    state = load_state(Path(run_options.run.out))
    assert state is not None
    assert (state.progress.epoch, state.progress.step) == (0, 1)


@pytest.mark.parametrize(
    ("field", "count", "position", "num_signaled"),
    [("batches", 2, (0, 1), 1), ("batches", 3, (0, 1), 2), ("validator", 0, (0, 3), 2)],
)
def test_a_signal_ends_the_wait_of_several_processes_for_a_batch_that_never_arrives(
    run_options: TrainingOptions,
    processes: BaseContext,
    tmp_path: Path,
    field: str,
    count: int,
    position: tuple[int, int],
    num_signaled: int,
) -> None:
    """The first process waits for a microbatch of a step, or for a validation batch, and the other for it."""
    options = run_options.with_values(accumulate=2)
    train_together(processes, options)
    stopped = options.with_values(out=str(tmp_path / "stopped"), resume=True)
    group = start_group(processes, train_blocked, (stopped, field, count, tmp_path / "waits"), count=2)
    wait_until((tmp_path / "waits").exists)
    for process in group[:num_signaled]:
        process.terminate()  # SIGTERM
    assert wait(group) == [0, 0]
    state = load_state(tmp_path / "stopped")
    assert state is not None
    assert (state.progress.epoch, state.progress.step) == position
    train_together(processes, stopped)
    assert_same_run(options.run.out, stopped.run.out)


def test_the_end_of_a_process_ends_the_others_with_an_error(
    run_options: TrainingOptions, processes: BaseContext
) -> None:
    assert wait(start(processes, run_options, [KillFirst("step", 2)], count=2)) == [-signal.SIGKILL, FAILURE]
    message = Path(f"{run_options.run.out}.error").read_text()
    assert message.startswith("another of the processes that train together has ended or does not respond (Connection ")


def _record_warnings(options: TrainingOptions, folder: Path) -> None:
    """Train, and write the warnings of each process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(options)
    texts = [str(warning.message) for warning in caught if issubclass(warning.category, LevitWarning)]
    (folder / os.environ["RANK"]).write_text("\n".join(texts))


def test_only_the_first_process_warns(
    run_options: TrainingOptions, processes: BaseContext, colors: Path, tmp_path: Path
) -> None:
    shutil.copytree(colors, tmp_path / "colors")
    for file in (tmp_path / "colors" / "validation" / "red").iterdir():
        file.unlink()
    options = run_options.with_values(data=str(tmp_path / "colors"), batch_size=18, accumulate=2, epochs=1)
    assert wait(start_group(processes, _record_warnings, (options, tmp_path), count=2)) == [0, 0]
    first, second = ((tmp_path / rank).read_text() for rank in "01")
    assert "no image of 'red'" in first
    assert "`batch_size` is 18: a step has 16 images" in first
    assert second == ""


def test_a_process_without_a_validation_image_does_not_block_the_others(
    run_options: TrainingOptions, processes: BaseContext, colors: Path, tmp_path: Path
) -> None:
    for name in COLORS:
        (tmp_path / "one" / name).mkdir(parents=True)
    shutil.copy(colors / "validation" / "red" / "0.png", tmp_path / "one" / "red" / "0.png")
    train_together(processes, run_options.with_values(val=str(tmp_path / "one"), epochs=1))
    assert len(read_results(run_options.run.out)) == 1


def test_two_processes_train_on_the_copy_that_the_first_one_makes(
    run_options: TrainingOptions, processes: BaseContext, parquet: Path, photos: Path, tmp_path: Path
) -> None:
    """As on the files themselves, whose names, labels and order are those of the parquet file."""
    options = run_options.with_values(val_share=0.4, epochs=1, batch_size=8, save_minutes=0.0)
    train_together(processes, options.with_values(data=str(photos)))
    copied = options.with_values(data=str(parquet), out=str(tmp_path / "copied"))
    train_together(processes, copied)
    assert_same_run(options.run.out, copied.run.out)
    assert not (tmp_path / "copied" / IMAGE_COPIES).exists()


TWO_RUNS = """
import sys
import levit, yaml

if __name__ == "__main__":
    values = yaml.safe_load(open(sys.argv[1]))
    levit.train(**values | {"out": values["out"] + "-teacher"})
    levit.train(**values | {"teacher": values["out"] + "-teacher"})
"""


def test_a_script_started_by_torchrun_trains_a_teacher_and_then_its_student(
    run_options: TrainingOptions, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(TWO_RUNS)
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(run_options.with_values(epochs=1).to_flat()))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [sys.executable, *launch, str(tmp_path / "script.py"), str(tmp_path / "options.yaml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, text=True, capture_output=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert [len(read_results(run_options.run.out + suffix)) for suffix in ("-teacher", "")] == [1, 1]
