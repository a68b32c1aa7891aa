"""Whole training runs: the files that they leave, and what their options change."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import transformers
import yaml
from PIL import Image

import levit
from levit.training.options import TrainingOptions
from levit.training.progress import Progress
from levit.training.train import Run, run_training, train
from tests.training.runs import COLORS, StopAfterSteps, assert_same_run, read_results


@pytest.fixture(scope="module")
def long_run(colors: Path, network: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of eight epochs without augmentation of colors, with a moving average and TensorBoard."""
    return train(
        data=str(colors), out=str(tmp_path_factory.mktemp("long") / "run"), model=str(network), epochs=8,
        batch_size=16, lr=3e-3, drop_path=0.1, ema=0.8, clip=0.1, repeats=2, precision="fp32", workers=0,
        report_to="tensorboard", select="best", warmup_epochs=1.0, layer_decay=1.0, ema_warmup=False, min_crop=0.08,
    )  # fmt: skip


def test_a_run_leaves_files_that_transformers_and_the_runtime_read(long_run: Run, colors: Path) -> None:
    folder = long_run.folder
    assert long_run.is_complete
    assert long_run.epochs == 8
    assert long_run.best is not None
    assert 0.6 < long_run.best <= 1
    stock = transformers.LevitForImageClassification.from_pretrained(folder)
    assert stock.config.id2label == dict(enumerate(COLORS))
    image = next((colors / "validation" / "red").iterdir())
    assert levit.Classifier(folder)(image).top(3)[0].name in COLORS
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "README.md", "args.yaml", "config.json", "curves.png", "ema", "evaluation", "last", "model.safetensors",
        "preprocessor_config.json", "results.csv", "tensorboard", "train_images.npy", "val_files.csv",
    }  # fmt: skip
    assert not (folder / ".images").exists()
    assert list(folder.glob("tensorboard/**/events.out.tfevents.*"))
    assert yaml.safe_load((folder / "args.yaml").read_text())["batch_size"] == 16
    best = read_results(folder)[long_run.best_epoch - 1]
    assert long_run.best in (best["top1"], best["ema_top1"])
    assert levit.read_checkpoint(folder / "last").labels == COLORS
    assert levit.read_checkpoint(folder / "ema").labels == COLORS


def test_the_programs_of_a_model_card_run(long_run: Run, colors: Path) -> None:
    for folder in (long_run.folder, long_run.folder / "ema"):
        programs = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        assert len(programs) == 2
        for program in programs:
            photo = next((colors / "validation" / "red").iterdir())
            source = program.replace("path/to/this/folder", str(folder)).replace("photo.jpg", str(photo))
            exec(compile(source, "README.md", "exec"), {})


def test_a_model_card_that_the_user_changed_stays(run_options: TrainingOptions) -> None:
    assert not run_training(run_options, [StopAfterSteps(4)]).is_complete
    card = Path(run_options.run.out) / "README.md"
    assert "these are the weights after epoch 1 of 2" in card.read_text()
    card.write_text("# My model\n")
    assert train(run_options, resume=True).is_complete
    assert card.read_text() == "# My model\n"
    assert "not complete" not in (card.parent / "ema" / "README.md").read_text()


class Watch(levit.Callback):
    """Notes what is in the run directory at the end of each epoch, and fails at the end of the first one."""

    def __init__(self, run: str | Path, *, fails: bool) -> None:
        self._run, self._fails = Path(run), fails
        self.rows: list[int] = []
        self.has_ended = False
        self._epoch = 0

    def on_step(self, report: levit.StepReport) -> None:
        self._epoch = report.epoch

    def on_epoch_end(self, progress: Progress, *, is_best: bool) -> None:
        assert self._epoch == progress.epoch
        self.rows.append(len(read_results(self._run)))
        assert is_best == (progress.best_epoch == progress.epoch)
        if self._fails:
            raise ZeroDivisionError("a mistake in a callback")

    def on_exit(self) -> None:
        self.has_ended = True


def test_a_callback_sees_the_files_of_the_epoch_and_its_exception_ends_a_run_that_can_be_resumed(
    run_options: TrainingOptions, tmp_path: Path
) -> None:
    train(run_options)
    ended = run_options.with_values(out=str(tmp_path / "ended"), resume=True)
    failing, last = Watch(ended.run.out, fails=True), Watch(ended.run.out, fails=False)
    with pytest.raises(ZeroDivisionError, match="a mistake in a callback"):
        train(ended, callbacks=[failing, last])
    assert (failing.rows, last.rows) == ([1], [])
    assert failing.has_ended
    assert last.has_ended
    watch = Watch(ended.run.out, fails=False)
    assert train(ended, callbacks=[watch]).is_complete
    assert watch.rows == [2]
    assert_same_run(run_options.run.out, ended.run.out)


def test_accuracies_of_a_run_are_fractions(long_run: Run) -> None:
    names = ("train_top1", "top1", "top5", "f1", "ema_top1", "ema_top5", "ema_f1")
    assert all(0 <= row[name] <= 1 for row in read_results(long_run.folder) for name in names)


def test_the_accuracy_of_the_best_epoch_is_that_of_evaluate(long_run: Run, colors: Path) -> None:
    evaluation = levit.evaluate(long_run.folder, colors, split="validation")
    # Logits that are almost equal may be ordered differently by the rounding of another engine.
    assert evaluation.top1.value == pytest.approx(long_run.best, abs=1 / 18 + 1e-6)


def test_label_smoothing_and_class_weights_do_not_change_the_validation_loss(
    run_options: TrainingOptions, tmp_path: Path
) -> None:
    values = {"epochs": 1, "lr": 0.0, "min_lr": 0.0, "warmup_lr": 0.0, "ema": 0.0}
    train(run_options, **values, label_smoothing=0.0)
    train(run_options, **values, label_smoothing=0.3, class_weights="balanced", out=str(tmp_path / "smoothed"))
    [plain], [smoothed] = read_results(run_options.run.out), read_results(tmp_path / "smoothed")
    assert smoothed["loss"] == plain["loss"]
    assert smoothed["train_loss"] != plain["train_loss"]


@pytest.mark.slow
def test_worker_processes_do_not_change_the_result(run_options: TrainingOptions, tmp_path: Path) -> None:
    train(run_options, epochs=1)
    train(run_options, epochs=1, workers=1, out=str(tmp_path / "workers"))
    assert_same_run(run_options.run.out, tmp_path / "workers")


def test_images_in_a_table_are_copied_during_the_run_and_a_line_says_so(
    run_options: TrainingOptions, parquet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(run_options, data=str(parquet), val_share=0.5, batch_size=8, epochs=1)
    assert run.is_complete
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{parquet.name}: copying the images into {run.folder / '.images'}"
    assert not (run.folder / ".images").exists()


@pytest.mark.slow
def test_a_run_stops_early_after_epochs_without_a_better_one(
    run_options: TrainingOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = run_options.with_values(
        epochs=30, patience=2, lr=1e-12, min_lr=0.0, warmup_lr=0.0, ema=0.0, freeze_batch_norm=True
    )
    run = train(idle)
    assert run.stopped_early
    assert run.epochs == run.best_epoch + 2
    assert "stopped early: no better epoch among the last 2" in capsys.readouterr().err
    assert train(idle, resume=True).epochs == run.epochs
    assert f"; was complete after epoch {run.epochs}" in capsys.readouterr().err
    whole = train(idle, out=f"{idle.run.out}-whole", epochs=run.epochs)  # the patience ends with the last epoch
    assert (whole.epochs, whole.stopped_early) == (run.epochs, False)


def test_of_equally_good_epochs_the_one_with_the_lowest_loss_is_the_best(run_options: TrainingOptions) -> None:
    run = train(run_options, val_share=0.1, epochs=4, metric="top5", ema=0.0)  # there are three classes
    losses = [row["loss"] for row in read_results(run.folder)]
    assert {row["top5"] for row in read_results(run.folder)} == {1}
    assert run.best_epoch == 1 + losses.index(min(losses)) > 1


@pytest.mark.slow
def test_several_labels_per_image_are_trained_independently(run_options: TrainingOptions, tmp_path: Path) -> None:
    folder, generator = tmp_path / "several", np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 16)):
        (folder / split).mkdir(parents=True)
        lines = []
        for number in range(count):
            present = generator.random(3) < 0.5
            pixels = generator.integers(0, 100, (32, 32, 3), dtype=np.uint8) + (present * 120).astype(np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{number}.png")
            names = [name for name, is_present in zip(("red", "green", "blue"), present, strict=True) if is_present]
            lines.append(json.dumps({"file_name": f"{number}.png", "labels": names}))
        (folder / split / "metadata.jsonl").write_text("\n".join(lines))
    run = train(run_options, data=str(folder), epochs=6, mixup=0.2, cutmix=0.0)
    assert run.metric == "map"
    assert run.best is not None
    assert 0.7 < run.best <= 1
    results = read_results(run.folder)
    assert "top1" not in results[0]
    assert all(row["train_top1"] < 0.95 for row in results)  # an eighth of the images have no label at all
    assert json.loads((run.folder / "config.json").read_text())["problem_type"] == "multi_label_classification"
    prediction = levit.Classifier(run.folder, precision="fp32")(folder / "train" / "0.png")
    np.testing.assert_allclose(prediction.scores, 1 / (1 + np.exp(-prediction.logits)), rtol=1e-5)
