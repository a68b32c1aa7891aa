"""A run that was stopped or killed, at any moment and on several processes, ends as if it had not been."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from levit.errors import LevitError
from levit.training.checkpointer import load_state
from levit.training.loop import Trainer
from levit.training.options import TrainingOptions
from levit.training.train import train
from tests.training.runs import COLORS, assert_same_run, rows, state
from tests.training.tiny import save_levit

TAUGHT = {
    "distillation": "soft", "tau": 2.0, "accumulate": 2, "layer_decay": 0.8, "class_weights": "balanced",
    "cooldown_epochs": 1, "freeze": "stem",
}  # fmt: skip


@pytest.fixture
def options(run_options: TrainingOptions) -> TrainingOptions:
    """Those of a short run."""
    return run_options


@pytest.mark.parametrize(
    "more", [{}, {"optimizer": "muon"}, TAUGHT], ids=["plain", "muon", "taught, in parts, decayed, weighted"]
)
def test_what_is_stopped_after_any_step_goes_on_to_the_same_bits(
    options: TrainingOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    if more is TAUGHT:
        more = {**more, "teacher": str(save_levit(tmp_path / "teacher", COLORS))}
    options = replace(options, **more)
    train(options)
    interrupted, learn = replace(options, out=str(tmp_path / "interrupted"), resume=True), Trainer._step
    for stops in (1, 2, 4, 100):  # steps after which somebody presses Ctrl-C
        left = [stops]

        def step(self: Trainer, batches: Any, left: list[int] = left) -> float:
            left[0] -= 1
            if not left[0]:
                self.stop()
            return learn(self, batches)

        monkeypatch.setattr(Trainer, "_step", step)
        run = train(interrupted)
    assert run.is_complete
    assert_same_run(options.out, interrupted.out)


def test_what_is_stopped_before_its_first_step_begins_anew(
    options: TrainingOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(options, epochs=1)
    train(options)
    stopped, learn = replace(options, out=str(tmp_path / "stopped"), resume=True), Trainer._learn

    def stop(self: Trainer, batches: Any) -> None:
        self.stop()
        learn(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_learn", stop)
        assert not train(stopped).is_complete
    assert not (tmp_path / "stopped" / "last").exists()
    assert train(stopped).is_complete
    assert_same_run(options.out, stopped.out)


def test_what_is_stopped_while_it_is_judged_goes_on_to_the_same_bits(
    options: TrainingOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(options, save_minutes=0.0)  # the only state is that of the stop
    train(options)
    stopped, attend = replace(options, out=str(tmp_path / "stopped"), resume=True), Trainer._attend
    seen = []

    def stop(self: Trainer, batch: Any) -> None:
        seen.append(len(batch.targets))
        self.stop()
        attend(self, batch)

    monkeypatch.setattr(Trainer, "_attend", stop)
    assert not train(stopped).is_complete
    assert len(seen) == 1
    assert load_state(Path(stopped.out))[1].step == 3  # type: ignore[index]
    monkeypatch.setattr(Trainer, "_attend", attend)
    assert train(stopped).is_complete
    assert_same_run(options.out, stopped.out)


def _train_in_process(options: TrainingOptions) -> None:
    torch.set_num_threads(1)
    train(options)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of Unix")
def test_a_run_that_is_killed_at_twenty_random_moments_ends_with_the_same_bits(
    options: TrainingOptions, processes: BaseContext, tmp_path: Path
) -> None:
    def start(options: TrainingOptions) -> Any:
        process = processes.Process(target=_train_in_process, args=(options,))
        process.start()
        return process

    options = replace(options, epochs=4)
    begun = time.monotonic()
    start(options).join()  # the first one waits for the imports, too
    shutil.rmtree(options.out)
    begun = time.monotonic()
    start(options).join()
    whole = time.monotonic() - begun
    killed = replace(options, out=str(tmp_path / "killed"), resume=True)
    chance, kills, was_saving = random.Random(0), 0, False
    while kills < 20:
        process = start(killed)
        process.join(chance.uniform(0.2, 0.8) * whole)
        while kills % 2 and process.is_alive() and not any(Path(killed.out).glob(".last*")):
            pass  # every second one while it saves
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            was_saving = was_saving or any(Path(killed.out).glob(".last*"))
        else:
            assert process.exitcode == 0
            assert_same_run(options.out, killed.out)
            shutil.rmtree(killed.out)  # it came to its end before it was killed often enough
    process = start(killed)
    process.join()
    assert process.exitcode == 0
    assert was_saving
    assert_same_run(options.out, killed.out)


def _run_processes(options: TrainingOptions, processes: int) -> subprocess.Popen[str]:
    arguments = Path(options.out).with_suffix(".yaml")
    arguments.write_text(yaml.safe_dump(options.to_dict() | {"resume": False}))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--standalone", "-m", "levit"]
    command = [sys.executable, *launch, "train", "--config", str(arguments), "--out", options.out]
    command += ["--resume"] if options.resume else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo is of Unix")
def test_two_processes_compute_what_one_does_and_go_on_to_the_same_bits(
    options: TrainingOptions, tmp_path: Path
) -> None:
    steady = replace(options, drop_path=0.0, freeze_batch_norm=True, epochs=2, save_minutes=10.0)
    one, two = replace(steady, out=str(tmp_path / "one")), replace(steady, out=str(tmp_path / "two"))
    output = _run_processes(two, 2).communicate()[0]
    assert (tmp_path / "two" / "last").exists(), output
    train(one)
    for mine, theirs in zip(rows(one.out), rows(two.out), strict=True):
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-5)
        assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
    live = replace(options, epochs=4, out=str(tmp_path / "live"))
    _run_processes(live, 2).communicate()
    stopped = replace(live, out=str(tmp_path / "stopped"))
    file, chance, seen = tmp_path / "stopped" / "last" / "training_state.pt", random.Random(0), None
    for _ in range(3):
        process = _run_processes(replace(stopped, resume=True), 2)
        seen = _wait_for_another(file, seen)
        time.sleep(chance.uniform(0, 0.3))
        # torchrun, and whom it has started
        subprocess.run(["pkill", "-9", "-f", str(tmp_path / "stopped.yaml")], check=False)
        process.communicate()
    output = _run_processes(replace(stopped, resume=True), 2).communicate()[0]
    assert "goes on in epoch" in output
    assert_same_run(live.out, stopped.out)


TWO_RUNS = """
import sys
import levit, yaml

if __name__ == "__main__":
    values = yaml.safe_load(open(sys.argv[1]))
    levit.train(**values | {"out": values["out"] + "-teacher"})
    levit.train(**values | {"teacher": values["out"] + "-teacher"})
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo is of Unix")
def test_a_script_on_two_processes_trains_a_teacher_and_then_its_student(
    options: TrainingOptions, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(TWO_RUNS)
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(replace(options, epochs=1, save_minutes=10.0).to_dict()))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    command = [sys.executable, *launch, str(tmp_path / "script.py"), str(tmp_path / "options.yaml")]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, capture_output=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert [len(rows(options.out + one)) for one in ("-teacher", "")] == [1, 1]


def _wait_for(file: Path, seconds: float = 120) -> None:
    _wait_for_another(file, None, seconds)


def _wait_for_another(file: Path, seen: int | None, seconds: float = 120) -> int:
    """Until there is a file that was written later than what was seen; when it was."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            if (written := file.stat().st_mtime_ns) != seen:
                return written
        time.sleep(0.05)
    pytest.fail(f"{file} was not written in {seconds} s")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo is of Unix")
def test_a_signal_that_everybody_is_told_of_twice_saves_on_several_processes(options: TrainingOptions) -> None:
    """Slurm tells torchrun and its processes, and torchrun tells those again."""
    many, run = replace(options, epochs=2000), Path(options.out)
    process = _run_processes(many, 2)
    _wait_for(run / "last" / "training_state.pt")
    subprocess.run(["pkill", "-TERM", "-f", str(run.with_suffix(".yaml"))], check=True)
    output = process.communicate(timeout=120)[0]
    assert "the same command with --resume goes on" in output
    assert not any(run.glob(".last*"))
    assert load_state(run) is not None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo is of Unix")
def test_a_process_without_an_image_to_judge_holds_nobody_up(
    options: TrainingOptions, colors: Path, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    for name in COLORS:
        (tmp_path / "one" / name).mkdir()
    shutil.copy(colors / "validation" / "red" / "0.png", tmp_path / "one" / "red" / "0.png")
    process = _run_processes(replace(options, val=str(tmp_path / "one"), epochs=1), 2)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are of Unix")
def test_ctrl_c_reaches_all_processes_and_saves_and_says_how_to_go_on(options: TrainingOptions) -> None:
    arguments = Path(options.out).with_suffix(".yaml")
    many = replace(options, epochs=2000, workers=2)
    arguments.write_text(yaml.safe_dump(many.to_dict() | {"resume": False}))
    command = [sys.executable, "-m", "levit", "train", "--config", str(arguments)]
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    _wait_for(Path(options.out) / "last" / "training_state.pt")
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command with --resume goes on" in errors
    assert "Traceback" not in errors
    assert load_state(Path(options.out)) is not None


def test_weights_that_are_no_numbers_do_not_replace_the_last_good_ones(options: TrainingOptions) -> None:
    steady = replace(options, epochs=1, save_minutes=0.0)
    train(steady)
    good = state(options.out)
    (Path(options.out) / "args.yaml").write_text(
        yaml.safe_dump(replace(steady, epochs=2, lr=1e30, clip=0.0, warmup_epochs=0.0).to_dict())
    )
    wild = replace(steady, epochs=2, lr=1e30, clip=0.0, warmup_epochs=0.0, resume=True)
    with pytest.raises(LevitError, match=r"the last good state is in .*last"):
        train(wild)
    assert all(torch.equal(tensor, state(options.out)[name]) for name, tensor in good.items())


def test_what_a_kill_left_out_at_the_very_end_is_made_up_for(options: TrainingOptions) -> None:
    run = train(replace(options, epochs=1)).folder
    whole = (run / "ema" / "model.safetensors").read_bytes()
    shutil.rmtree(run / "ema")
    (run / "results.csv").unlink()
    train(replace(options, epochs=1, resume=True))
    assert (run / "ema" / "model.safetensors").read_bytes() == whole
    assert len(rows(run)) == 1
