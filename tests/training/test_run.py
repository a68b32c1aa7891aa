"""Whole runs: what they leave behind, and that an interrupted one ends as if it had not been."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml
from PIL import Image
from safetensors.torch import load_file

import levit
from levit.errors import ConfigError, DataError, LevitError
from levit.training.options import TrainingOptions
from levit.training.run import train
from levit.training.saving import load_state
from levit.training.trainer import Trainer

CLASSES = ("blue", "green", "red")
TINY: dict[str, Any] = {
    "image_size": 32,
    "hidden_sizes": [16, 24, 32],
    "num_attention_heads": [1, 2, 2],
    "depths": [1, 1, 1],
    "key_dim": [8, 8, 8],
}


@pytest.fixture(scope="session")
def colors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noisy pictures of three colours, which even a tiny network tells apart."""
    folder = tmp_path_factory.mktemp("colors")
    generator = np.random.default_rng(0)
    for split, count in (("train", 16), ("validation", 6)):
        for channel, name in enumerate(reversed(CLASSES)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 130, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 90
                Image.fromarray(pixels).save(folder / split / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights and two heads of other classes."""
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(1)
    config = levit.LevitConfig(**TINY, num_labels=5)
    levit.LevitForImageClassificationWithTeacher(config).save_pretrained(folder)
    return folder


@pytest.fixture
def options(colors: Path, network: Path, tmp_path: Path) -> TrainingOptions:
    """A run of three epochs with everything that is random."""
    return TrainingOptions(
        data=str(colors),
        out=str(tmp_path / "run"),
        model=str(network),
        epochs=3,
        batch_size=16,
        lr=3e-3,
        drop_path=0.1,
        ema=0.8,
        clip=0.1,
        mixup=0.8,
        cutmix=1.0,
        mix_share=0.5,
        auto_augment="rand-m5-n1-mstd0.5-inc1",
        erase=0.25,
        repeats=2,
        precision="fp32",
        workers=0,
        save_minutes=1e-6,  # after every step
        report_to="none",
    )


def rows(run: Path | str) -> list[dict[str, float]]:
    with (Path(run) / "results.csv").open() as stream:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(stream)]


def state(run: Path | str) -> dict[str, torch.Tensor]:
    """Weights, average and optimizer, flat."""
    found = load_state(Path(run))
    assert found is not None
    flat: dict[str, torch.Tensor] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            flat[name] = value
        elif isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            for key, one in items:
                walk(f"{name}.{key}", one)

    walk("", found[1])
    return flat


def assert_same_run(one: Path | str, other: Path | str) -> None:
    mine, theirs = state(one), state(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []
    for file in ("model.safetensors", "ema/model.safetensors"):
        first, second = load_file(Path(one) / file), load_file(Path(other) / file)
        assert all(torch.equal(first[name], second[name]) for name in first)
    times = ("seconds", "images_per_second")
    plain = [[{name: row[name] for name in row if name not in times} for row in rows(run)] for run in (one, other)]
    assert plain[0] == plain[1]


def test_a_run_leaves_what_transformers_and_the_runtime_read(options: TrainingOptions, colors: Path) -> None:
    options = replace(options, mixup=0.0, cutmix=0.0, auto_augment="none", erase=0.0, epochs=8, report_to="tensorboard")
    run = train(options)
    folder = run.folder
    assert run.is_complete
    assert run.epochs == 8
    assert run.best is not None
    assert run.best > 60
    stock = transformers.LevitForImageClassification.from_pretrained(folder)
    assert stock.config.id2label == dict(enumerate(CLASSES))
    image = next((colors / "validation" / "red").iterdir())
    assert levit.Classifier(folder)(image).top(3)[0].name in CLASSES
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "args.yaml", "config.json", "curves.png", "ema", "last", "levit", "model.safetensors",
        "preprocessor_config.json", "results.csv",
    }  # fmt: skip
    assert not (folder / ".images").exists()
    assert list(folder.glob("levit/**/events.out.tfevents.*"))
    assert yaml.safe_load((folder / "args.yaml").read_text())["batch_size"] == 16
    best = max(max(row["top1"], row["ema_top1"]) for row in rows(folder))
    assert run.best == best
    assert levit.read_checkpoint(folder / "last").labels == CLASSES
    assert levit.read_checkpoint(folder / "ema").labels == CLASSES


def test_the_best_epoch_is_what_evaluate_finds(options: TrainingOptions, colors: Path) -> None:
    from levit.evaluation.evaluate import evaluate

    run = train(replace(options, epochs=4, ema=0.0, mixup=0.0, cutmix=0.0))
    found = evaluate(run.folder, colors, split="validation")
    assert found.top1.percent == pytest.approx(run.best, abs=100 / 18 + 1e-6)  # a score that rounding decides


def test_what_is_stopped_after_any_step_goes_on_to_the_same_bits(
    options: TrainingOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def _train_in_process(options: TrainingOptions) -> None:
    torch.set_num_threads(1)
    train(options)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of Unix")
def test_a_run_that_is_killed_at_twenty_random_moments_ends_with_the_same_bits(
    options: TrainingOptions, tmp_path: Path
) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["levit.training.run", "matplotlib.figure"])

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
    process = _run_processes(stopped, 2)
    _wait_for(tmp_path / "stopped" / "last" / "training_state.pt")
    subprocess.run(
        ["pkill", "-9", "-f", str(tmp_path / "stopped.yaml")], check=True
    )  # torchrun, and whom it has started
    process.communicate()
    output = _run_processes(replace(stopped, resume=True), 2).communicate()[0]
    assert "goes on in epoch" in output
    assert_same_run(live.out, stopped.out)


def _wait_for(file: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert file.exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo is of Unix")
def test_a_process_without_an_image_to_judge_holds_nobody_up(
    options: TrainingOptions, colors: Path, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    for name in CLASSES:
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


def test_a_teacher_is_learned_from_and_not_saved(options: TrainingOptions, tmp_path: Path) -> None:
    teacher = train(replace(options, out=str(tmp_path / "teacher"), ema=0.0)).folder
    run = train(replace(options, teacher=str(teacher), epochs=1))
    names = load_file(run.folder / "model.safetensors").keys()
    assert any(name.startswith("classifier_distill") for name in names)
    assert not [name for name in names if "teacher" in name]
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(run.folder)
    assert stock.config.num_labels == 3
    assert json.loads((run.folder / "config.json").read_text())["architectures"] == [
        "LevitForImageClassificationWithTeacher"
    ]


@pytest.mark.slow
def test_a_network_of_timm_learns_and_teaches(options: TrainingOptions, tmp_path: Path) -> None:
    plain = replace(options, model="timm/resnet10t", from_scratch=True, image_size=32, drop_path=None, epochs=1)
    teacher = train(replace(plain, out=str(tmp_path / "teacher"))).folder
    run = train(replace(options, teacher=str(teacher), epochs=1, distillation="soft", tau=2.0))
    assert run.is_complete


def test_a_loss_that_is_no_number_names_the_step_and_the_way_out(options: TrainingOptions) -> None:
    wild = replace(options, lr=1e30, warmup_epochs=0.0, clip=0.0, save_minutes=0.0)
    with pytest.raises(LevitError, match=r"the loss is (nan|inf) in step \d+ of epoch 1; nothing was saved.*--lr"):
        train(wild)


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


def test_processes_that_prepare_images_change_nothing(options: TrainingOptions, tmp_path: Path) -> None:
    train(replace(options, epochs=1))
    train(replace(options, epochs=1, workers=1, out=str(tmp_path / "workers")))
    assert_same_run(options.out, tmp_path / "workers")


def test_a_test_part_is_neither_learned_nor_looked_at(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "parts")
    (tmp_path / "parts" / "test").mkdir()  # which is empty
    assert train(replace(options, data=str(tmp_path / "parts"), epochs=1)).is_complete
    shutil.rmtree(tmp_path / "parts" / "train")
    with pytest.raises(DataError, match="there is no train part"):
        train(replace(options, data=str(tmp_path / "parts"), out=str(tmp_path / "other")))


def test_a_tracker_that_is_not_there_is_said_before_the_first_step(
    options: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("levit.training.run.find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install wandb"):
        train(replace(options, report_to="wandb"))


def test_what_is_in_the_folder_already_is_left_alone(options: TrainingOptions) -> None:
    train(replace(options, epochs=1))
    with pytest.raises(ConfigError, match="go on with it by --resume"):
        train(options)
    with pytest.raises(ConfigError, match=r"began with another --epochs, --lr"):
        train(replace(options, lr=1e-3, resume=True))
    again = train(replace(options, epochs=1, resume=True))
    assert again.is_complete
    assert again.epochs == 1


def test_nothing_is_begun_where_something_is_wrong(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patch_size is 12"):
        train(replace(options, model="levit-128s", from_scratch=True, patch_size=12))
    with pytest.raises(ConfigError, match="--image-size 32: the network cannot take it"):
        train(replace(options, model="timm/vit_tiny_patch16_224", from_scratch=True, image_size=32, drop_path=None))
    with pytest.raises(DataError, match="--teacher"):
        train(replace(options, teacher=options.model))
    shutil.copytree(colors, tmp_path / "less")
    shutil.rmtree(tmp_path / "less" / "train" / "red")
    with pytest.raises(DataError, match="red"):
        train(replace(options, data=str(tmp_path / "less")))
    assert not (Path(options.out) / "args.yaml").exists()


def test_it_waits_for_a_better_epoch_no_longer_than_it_is_told(options: TrainingOptions) -> None:
    run = train(replace(options, epochs=30, patience=2, lr=1e-12, min_lr=0.0, warmup_lr=0.0, ema=0.0))
    assert run.epochs == run.best_epoch + 2


def test_images_that_cannot_be_read_are_named(
    options: TrainingOptions, colors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(colors, tmp_path / "bad")
    (tmp_path / "bad" / "train" / "red" / "0.png").write_bytes(b"no picture")
    bad = replace(options, data=str(tmp_path / "bad"), epochs=1, repeats=1, batch_size=48)
    run = train(bad)
    assert run.is_complete
    assert "red/0.png: not an image, or of a format that Pillow cannot read; another image stands in" in (
        capsys.readouterr().err
    )
    with pytest.raises(DataError, match=r"red/0.png: not an image.*--on-bad-image skip"):
        train(replace(bad, out=str(tmp_path / "fails"), on_bad_image="fail"))


def test_several_labels_are_learned_one_by_one(options: TrainingOptions, tmp_path: Path) -> None:
    folder, generator = tmp_path / "several", np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 16)):
        (folder / split).mkdir(parents=True)
        lines = []
        for number in range(count):
            there = generator.random(3) < 0.5
            pixels = generator.integers(0, 100, (32, 32, 3), dtype=np.uint8) + (there * 120).astype(np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number}.png")
            names = [name for name, one in zip(("red", "green", "blue"), there, strict=True) if one]
            lines.append(json.dumps({"file_name": f"{number}.png", "labels": names}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    run = train(replace(options, data=str(folder), epochs=6, mixup=0.2, cutmix=0.0))
    assert run.metric == "map"
    assert run.best is not None
    assert run.best > 70
    assert "top1" not in rows(run.folder)[0]
    assert json.loads((run.folder / "config.json").read_text())["problem_type"] == "multi_label_classification"
