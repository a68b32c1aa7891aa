"""Whole runs: what they leave behind, and what they do not begin."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

import levit
from levit.errors import ConfigError, DataError, LevitError, LevitWarning
from levit.training.checkpointer import load_state
from levit.training.loop import Trainer
from levit.training.options import TrainingOptions
from levit.training.train import train
from tests.training.runs import COLORS, assert_same_run, rows
from tests.training.tiny import save_levit

DEVICE = str(torch.accelerator.current_accelerator() or "cpu") if torch.accelerator.is_available() else "cpu"


@pytest.fixture
def options(run_options: TrainingOptions) -> TrainingOptions:
    """Those of a short run."""
    return run_options


def test_a_run_leaves_what_transformers_and_the_runtime_read(options: TrainingOptions, colors: Path) -> None:
    options = replace(options, mixup=0.0, cutmix=0.0, auto_augment="none", erase=0.0, epochs=8, report_to="tensorboard")
    run = train(options)
    folder = run.folder
    assert run.is_complete
    assert run.epochs == 8
    assert run.best is not None
    assert run.best > 60
    stock = transformers.LevitForImageClassification.from_pretrained(folder)
    assert stock.config.id2label == dict(enumerate(COLORS))
    image = next((colors / "validation" / "red").iterdir())
    assert levit.Classifier(folder)(image).top(3)[0].name in COLORS
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "args.yaml", "config.json", "curves.png", "ema", "last", "model.safetensors",
        "preprocessor_config.json", "results.csv", "tensorboard",
    }  # fmt: skip
    assert not (folder / ".images").exists()
    assert list(folder.glob("tensorboard/**/events.out.tfevents.*"))
    assert yaml.safe_load((folder / "args.yaml").read_text())["batch_size"] == 16
    best = max(max(row["top1"], row["ema_top1"]) for row in rows(folder))
    assert run.best == best
    assert levit.read_checkpoint(folder / "last").labels == COLORS
    assert levit.read_checkpoint(folder / "ema").labels == COLORS


def test_the_best_epoch_is_what_evaluate_finds(options: TrainingOptions, colors: Path) -> None:
    from levit.evaluation.evaluator import evaluate

    run = train(replace(options, epochs=4, ema=0.0, mixup=0.0, cutmix=0.0))
    found = evaluate(run.folder, colors, split="validation")
    assert found.top1.percent == pytest.approx(run.best, abs=100 / 18 + 1e-6)  # a score that rounding decides


def test_a_teacher_is_learned_from_and_not_saved(options: TrainingOptions, tmp_path: Path) -> None:
    teacher = train(replace(options, out=str(tmp_path / "teacher"), ema=0.0)).folder
    run = train(replace(options, teacher=str(teacher), epochs=1))
    names = load_file(run.folder / "model.safetensors").keys()
    assert any(name.startswith("classifier_distill") for name in names)
    assert not [name for name in names if "teacher" in name]
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(run.folder)
    assert stock.config.num_labels == 3
    assert "teacher" not in load_state(run.folder)[2]  # type: ignore[index]
    assert json.loads((run.folder / "config.json").read_text())["architectures"] == [
        "LevitForImageClassificationWithTeacher"
    ]


@pytest.mark.parametrize("distillation", ["hard", "soft"])
def test_the_second_head_learns_what_the_teacher_says(
    options: TrainingOptions, tmp_path: Path, distillation: str
) -> None:
    """Two teachers that say the same class of everything, whatever the labels are."""
    answers = {}
    for place, name in enumerate(COLORS):
        folder = save_levit(tmp_path / name, COLORS)
        weights = load_file(folder / "model.safetensors")
        weights["classifier.linear.weight"].zero_()
        weights["classifier.linear.bias"] = 8 * torch.eye(len(COLORS))[place]
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        out = str(tmp_path / f"by-{name}")
        train(replace(options, teacher=str(folder), out=out, alpha=0.9, distillation=distillation, ema=0.0))
        network = levit.LevitForImageClassificationWithTeacher.from_pretrained(Path(out) / "last").eval()
        output = network(torch.zeros(1, 3, 32, 32))
        answers[name] = COLORS[int(output.distillation_logits.argmax())]
    assert answers == {name: name for name in COLORS}


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


def test_processes_that_prepare_images_change_nothing(options: TrainingOptions, tmp_path: Path) -> None:
    train(replace(options, epochs=1))
    train(replace(options, epochs=1, workers=1, out=str(tmp_path / "workers")))
    assert_same_run(options.out, tmp_path / "workers")


def test_images_of_a_table_are_copied_while_they_are_learned_and_that_is_said(
    options: TrainingOptions, parquet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(replace(options, data=str(parquet), val_share=0.5, batch_size=8, epochs=1))
    assert run.is_complete
    said = capsys.readouterr().err.splitlines()
    assert said[0] == f"{parquet.name}: copying the images into {run.folder / '.images'}"
    assert not (run.folder / ".images").exists()


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
    monkeypatch.setattr("levit.training.train.find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install wandb"):
        train(replace(options, report_to="wandb"))


def test_what_was_saved_before_a_loss_that_is_no_number_can_be_gone_on_from(
    options: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Trainer._forward

    def step(self: Trainer, batch: Any) -> Any:
        loss, right = forward(self, batch)
        return (loss * np.nan if self.progress.step == 2 else loss), right

    wild = replace(options, from_scratch=True)
    monkeypatch.setattr(Trainer, "_forward", step)
    with pytest.raises(LevitError, match=r"the last good state is in (.*): go on .* --model \1 --no-from-scratch"):
        train(wild)
    monkeypatch.setattr(Trainer, "_forward", forward)
    going_on = replace(options, model=f"{options.out}/last", out=f"{options.out}-again", epochs=1)
    assert train(going_on).is_complete


def test_what_is_left_open_is_decided_and_written_down(options: TrainingOptions) -> None:
    run = train(replace(options, epochs=1, precision="auto", teacher="none"))
    text = (run.folder / "args.yaml").read_text()
    assert yaml.safe_load(text)["precision"] in ("fp32", "bf16", "fp16")
    assert yaml.safe_load(text)["teacher"] is None
    became = f"32x32: 48 images of 3 classes to learn from, 18 to choose by, on 1 x {DEVICE} in "
    assert text.splitlines()[0].endswith(became + yaml.safe_load(text)["precision"])
    assert train(replace(options, epochs=1, precision="auto", resume=True)).is_complete


def test_a_run_does_not_go_on_with_a_teacher_that_has_learned_since(options: TrainingOptions, tmp_path: Path) -> None:
    save_levit(tmp_path / "teacher", COLORS)
    taught = replace(options, teacher=str(tmp_path / "teacher"), epochs=1)
    train(taught)
    assert train(replace(taught, resume=True)).is_complete
    weights = load_file(tmp_path / "teacher" / "model.safetensors")
    save_file({name: one * 2 for name, one in weights.items()}, tmp_path / "teacher" / "model.safetensors")
    with pytest.raises(ConfigError, match=r"teacher has learned since"):
        train(replace(taught, resume=True))


@pytest.mark.skipif(torch.accelerator.is_available(), reason="fp16 is computed here")
def test_fp16_is_for_gpus(options: TrainingOptions) -> None:
    with pytest.raises(ConfigError, match=r"^--precision fp16 is for GPUs"):
        train(replace(options, precision="fp16"))


def test_too_little_memory_names_the_way_out(options: TrainingOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nOf the allocated memory")

    monkeypatch.setattr(Trainer, "_forward", forward)
    with pytest.raises(
        LevitError, match=r"^8 images of a step at once are too much .*--accumulate 4, or .*--batch-size"
    ):
        train(replace(options, accumulate=2))


@pytest.mark.parametrize("network", ["levit", "timm/test_resnet"])
def test_a_run_goes_on_without_the_weights_that_it_began_with(
    options: TrainingOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    if network == "levit":
        start = save_levit(tmp_path / "start", ("one", "two"), drop_path_rate=0.3)
    else:
        plain = replace(options, model=network, from_scratch=True, drop_path=None, epochs=1)
        start = train(replace(plain, out=str(tmp_path / "start"))).folder
    options = replace(options, model=str(start), from_scratch=False, drop_path=None)
    train(options)
    stopped, learn = replace(options, out=str(tmp_path / "stopped"), resume=True), Trainer._step

    def step(self: Trainer, batches: Any) -> float:
        self.stop()
        return learn(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", step)
        assert not train(stopped).is_complete
    shutil.rmtree(start)
    assert train(stopped).is_complete
    assert_same_run(options.out, stopped.out)
    described = [{file.name: file.read_text() for file in Path(one.out).glob("*.json")} for one in (options, stopped)]
    assert described[0] == described[1] != {}


def test_nothing_is_trained_on_the_folder_one_is_in() -> None:
    with pytest.raises(ConfigError, match=r"^--data is missing: give train\(data=…\)"):
        train(out="run")
    with pytest.raises(ConfigError, match=r"^--out is missing: give train\(out=…\)"):
        train(data="photos")


def test_a_run_among_the_images_is_not_begun(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors / "train", tmp_path / "photos")
    inside = replace(options, data=str(tmp_path / "photos"), out=str(tmp_path / "photos" / "run"))
    with pytest.raises(ConfigError, match="where every folder is a class of images"):
        train(inside)
    assert not Path(inside.out).exists()


def test_images_to_choose_by_that_cannot_be_read_are_no_matter_of_the_learning_rate(
    options: TrainingOptions, colors: Path, tmp_path: Path
) -> None:
    shutil.copytree(colors, tmp_path / "bad")
    for file in (tmp_path / "bad" / "validation").rglob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the images to choose by can be read"):
        train(replace(options, data=str(tmp_path / "bad"), epochs=1))


def test_a_run_does_not_go_on_with_other_images(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "colors")
    options = replace(options, data=str(tmp_path / "colors"), epochs=1)
    train(options)
    (tmp_path / "colors" / "train" / "red" / "0.png").rename(tmp_path / "colors" / "train" / "red" / "another.png")
    told = (Path(options.out) / "args.yaml").read_bytes()
    (tmp_path / "colors" / "train" / "red" / "1.png").unlink()
    with pytest.raises(ConfigError, match=r"--resume: the run in .* began with other images or labels"):
        train(replace(options, resume=True))
    assert (Path(options.out) / "args.yaml").read_bytes() == told


def test_what_is_in_the_folder_already_is_left_alone(options: TrainingOptions) -> None:
    train(replace(options, epochs=1))
    with pytest.raises(ConfigError, match="go on with it by --resume"):
        train(options)
    with pytest.raises(ConfigError, match=r"began with another --epochs, --lr"):
        train(replace(options, lr=1e-3, resume=True))
    moved = shutil.copytree(options.data, Path(options.out).with_name("moved"))
    with pytest.warns(LevitWarning, match="from another place"):
        again = train(replace(options, data=str(moved), epochs=1, resume=True))
    assert again.is_complete
    assert again.epochs == 1


def test_nothing_is_begun_where_something_is_wrong(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patch_size: 12 is not a power"):
        train(replace(options, model="levit-128s", from_scratch=True, patch_size=12))
    with pytest.raises(ConfigError, match="--image-size 32: the network cannot take it"):
        train(replace(options, model="timm/vit_tiny_patch16_224", from_scratch=True, image_size=32, drop_path=None))
    with pytest.raises(DataError, match="--teacher"):
        train(replace(options, teacher=options.model))
    shutil.copytree(colors, tmp_path / "less")
    shutil.rmtree(tmp_path / "less" / "train" / "red")
    with pytest.raises(DataError, match="red"):
        train(replace(options, data=str(tmp_path / "less")))
    with pytest.raises(DataError, match=r"--val .*: the model has no label"):
        train(replace(options, data=str(tmp_path / "less"), val=str(colors)))
    assert not Path(options.out).exists()


def test_it_waits_for_a_better_epoch_no_longer_than_it_is_told(
    options: TrainingOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = replace(options, epochs=30, patience=2, lr=1e-12, min_lr=0.0, warmup_lr=0.0, ema=0.0, freeze_batch_norm=True)
    run = train(idle)
    assert run.stopped_early
    assert run.epochs == run.best_epoch + 2
    assert "no better epoch in 2: stopped early" in capsys.readouterr().err
    assert train(replace(idle, resume=True)).epochs == run.epochs
    assert f"; was complete after epoch {run.epochs}" in capsys.readouterr().err
    whole = train(replace(idle, out=f"{idle.out}-whole", epochs=run.epochs))  # patience ends with the last epoch
    assert (whole.epochs, whole.stopped_early) == (run.epochs, False)


def test_of_epochs_that_are_as_good_the_one_with_the_lowest_loss_is_kept(options: TrainingOptions) -> None:
    run = train(replace(options, val_share=0.1, epochs=4, metric="top5", ema=0.0))  # of three classes
    losses = [row["loss"] for row in rows(run.folder)]
    assert {row["top5"] for row in rows(run.folder)} == {100}
    assert run.best_epoch == 1 + losses.index(min(losses)) > 1


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
    assert all(row["train_top1"] < 95 for row in rows(run.folder))  # an eighth of the images have no label at all
    assert json.loads((run.folder / "config.json").read_text())["problem_type"] == "multi_label_classification"
    prediction = levit.Classifier(run.folder, precision="fp32")(folder / "train" / "0.png")
    np.testing.assert_allclose(prediction.scores, 1 / (1 + np.exp(-prediction.logits)), rtol=1e-5)
