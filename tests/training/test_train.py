"""Whole training runs: the files that they leave, and the errors that they raise before they start."""

from __future__ import annotations

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

import levit
from levit.errors import ConfigError, DataError, LevitError, LevitWarning
from levit.evaluation.evaluator import evaluate
from levit.training.options import TrainingOptions
from levit.training.progress import Progress
from levit.training.run_state import load_state
from levit.training.train import Run, run_training, train
from tests.training.runs import COLORS, StopAfterSteps, assert_same_run, read_results
from tests.training.tiny import save_levit

DEVICE = str(torch.accelerator.current_accelerator() or "cpu") if torch.accelerator.is_available() else "cpu"


@pytest.fixture
def options(run_options: TrainingOptions) -> TrainingOptions:
    """Options of a run of six steps."""
    return run_options


@pytest.fixture(scope="module")
def long_run(colors: Path, network: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of eight epochs without augmentation of colors, with a moving average and TensorBoard."""
    return train(
        data=str(colors), out=str(tmp_path_factory.mktemp("long") / "run"), model=str(network), epochs=8,
        batch_size=16, lr=3e-3, drop_path=0.1, ema=0.8, clip=0.1, repeats=2, precision="fp32", workers=0,
        report_to="tensorboard",
    )  # fmt: skip


@pytest.fixture(scope="module")
def short_options(colors: Path, network: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingOptions:
    """Options of `short_run`."""
    return TrainingOptions.from_flat(
        data=str(colors), out=str(tmp_path_factory.mktemp("short") / "run"), model=str(network), epochs=1,
        batch_size=16, ema=0.8, precision="auto", teacher="none", workers=0, report_to="none",
    )  # fmt: skip


@pytest.fixture(scope="module")
def short_run(short_options: TrainingOptions) -> Run:
    """A run of one epoch with choices that are left open."""
    return train(short_options)


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
        "README.md", "args.yaml", "config.json", "curves.png", "ema", "last", "model.safetensors",
        "preprocessor_config.json", "results.csv", "tensorboard",
    }  # fmt: skip
    assert not (folder / ".images").exists()
    assert list(folder.glob("tensorboard/**/events.out.tfevents.*"))
    assert yaml.safe_load((folder / "args.yaml").read_text())["batch_size"] == 16
    best = read_results(folder)[long_run.best_epoch - 1]
    assert long_run.best in (best["top1"], best["ema_top1"])
    assert levit.read_checkpoint(folder / "last").labels == COLORS
    assert levit.read_checkpoint(folder / "ema").labels == COLORS


def test_a_complete_run_keeps_no_optimizer_and_is_complete_when_it_is_resumed(
    short_options: TrainingOptions, short_run: Run
) -> None:
    state = load_state(short_run.folder)
    assert state is not None
    assert (state.progress.epoch, state.tensors) == (1, {})
    assert (short_run.folder / "last" / "training_state.pt").stat().st_size < 10_000
    again = train(short_options, resume=True)
    assert (again.is_complete, again.best, again.best_epoch) == (True, short_run.best, short_run.best_epoch)
    assert levit.read_checkpoint(short_run.folder / "last").labels == COLORS


def test_a_run_without_its_optimizer_does_not_go_on(
    short_options: TrainingOptions, short_run: Run, tmp_path: Path
) -> None:
    """Its options were edited to more epochs than it had."""
    run = shutil.copytree(short_run.folder, tmp_path / "run")
    arguments = run / "args.yaml"
    arguments.write_text(arguments.read_text().replace("epochs: 1\n", "epochs: 2\n", 1))
    with pytest.raises(ConfigError, match=r"run cannot go on: it was complete after epoch 1, and its optimizer"):
        train(short_options, out=str(run), epochs=2, resume=True)


def test_the_programs_of_a_model_card_run(long_run: Run, colors: Path) -> None:
    for folder in (long_run.folder, long_run.folder / "ema"):
        programs = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
        assert len(programs) == 2
        for program in programs:
            photo = next((colors / "validation" / "red").iterdir())
            source = program.replace("path/to/this/folder", str(folder)).replace("photo.jpg", str(photo))
            exec(compile(source, "README.md", "exec"), {})


def test_a_model_card_that_the_user_changed_stays(options: TrainingOptions) -> None:
    assert not run_training(options, [StopAfterSteps(4)]).is_complete
    card = Path(options.run.out) / "README.md"
    assert "these are the weights after epoch 1 of 2" in card.read_text()
    card.write_text("# My model\n")
    assert train(options, resume=True).is_complete
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
    options: TrainingOptions, tmp_path: Path
) -> None:
    train(options)
    ended = options.with_values(out=str(tmp_path / "ended"), resume=True)
    failing, last = Watch(ended.run.out, fails=True), Watch(ended.run.out, fails=False)
    with pytest.raises(ZeroDivisionError, match="a mistake in a callback"):
        train(ended, callbacks=[failing, last])
    assert (failing.rows, last.rows) == ([1], [])
    assert failing.has_ended
    assert last.has_ended
    watch = Watch(ended.run.out, fails=False)
    assert train(ended, callbacks=[watch]).is_complete
    assert watch.rows == [2]
    assert_same_run(options.run.out, ended.run.out)


def test_callbacks_must_be_a_list_of_callbacks() -> None:
    with pytest.raises(ConfigError, match=r"^callbacks contains <class .*, which is no callback"):
        train(data="photos", out="run", callbacks=[levit.Callback])  # type: ignore[list-item]


def test_accuracies_of_a_run_are_fractions(long_run: Run) -> None:
    names = ("train_top1", "top1", "top5", "f1", "ema_top1", "ema_top5", "ema_f1")
    assert all(0 <= row[name] <= 1 for row in read_results(long_run.folder) for name in names)


def test_the_accuracy_of_the_best_epoch_is_that_of_evaluate(long_run: Run, colors: Path) -> None:
    evaluation = evaluate(long_run.folder, colors, split="validation")
    # Logits that are almost equal may be ordered differently by the rounding of another engine.
    assert evaluation.top1.value == pytest.approx(long_run.best, abs=1 / 18 + 1e-6)


def test_a_student_has_a_distillation_head_and_does_not_contain_its_teacher(
    options: TrainingOptions, long_run: Run
) -> None:
    run = train(options, teacher=str(long_run.folder), epochs=1)
    names = load_file(run.folder / "model.safetensors").keys()
    assert any(name.startswith("classifier_distill") for name in names)
    assert not [name for name in names if "teacher" in name]
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(run.folder)
    assert stock.config.num_labels == 3
    assert "teacher" not in load_state(run.folder).tensors  # type: ignore[union-attr]
    assert json.loads((run.folder / "config.json").read_text())["architectures"] == [
        "LevitForImageClassificationWithTeacher"
    ]


@pytest.mark.parametrize("distillation", ["hard", "soft"])
def test_the_distillation_head_predicts_what_the_teacher_predicts(
    options: TrainingOptions, tmp_path: Path, distillation: str
) -> None:
    """Two teachers predict one class each for all images, whatever their labels are."""
    predictions = {}
    for index, name in ((0, "blue"), (2, "red")):
        folder = save_levit(tmp_path / name, COLORS)
        weights = load_file(folder / "model.safetensors")
        weights["classifier.linear.weight"].zero_()
        weights["classifier.linear.bias"] = 8 * torch.eye(len(COLORS))[index]
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        out = str(tmp_path / f"by-{name}")
        train(options, teacher=str(folder), out=out, alpha=0.9, distillation=distillation, ema=0.0, epochs=3)
        network = levit.LevitForImageClassificationWithTeacher.from_pretrained(Path(out) / "last").eval()
        output = network(torch.zeros(1, 3, 32, 32))
        predictions[name] = COLORS[int(output.distillation_logits.argmax())]
    assert predictions == {"blue": "blue", "red": "red"}


def test_images_without_labels_are_counted_and_need_a_teacher(
    options: TrainingOptions, colors: Path, long_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(colors / "train" if (colors / "train").is_dir() else colors, tmp_path / "more")
    run = train(options, teacher=str(long_run.folder), unlabeled=str(tmp_path / "more"), epochs=1)
    assert run.is_complete
    assert re.search(r"48 training images of 3 classes and \d+ without labels, ", capsys.readouterr().err)
    with pytest.raises(ConfigError, match=r"^unlabeled is .*, which has no effect without a teacher: give"):
        train(options, unlabeled=str(tmp_path / "more"))


@pytest.mark.slow
def test_a_timm_network_can_be_trained_and_be_a_teacher(options: TrainingOptions, tmp_path: Path) -> None:
    plain = options.with_values(
        model="timm/resnet10t", from_scratch=True, image_size=32, drop_path=None, epochs=1,
        out=str(tmp_path / "teacher"),
    )  # fmt: skip
    teacher = train(plain).folder
    assert train(options, teacher=str(teacher), epochs=1, distillation="soft", tau=2.0).is_complete


def test_a_loss_that_is_not_finite_is_an_error_with_the_step_and_a_hint(options: TrainingOptions) -> None:
    with pytest.raises(LevitError, match=r"the loss is (nan|inf) in step \d+ of epoch \d+: no state .*`lr=") as caught:
        train(options, lr=1e30, warmup_epochs=0.0, clip=0.0)
    assert "\n" not in str(caught.value)


def test_label_smoothing_and_class_weights_do_not_change_the_validation_loss(
    options: TrainingOptions, tmp_path: Path
) -> None:
    values = {"epochs": 1, "lr": 0.0, "min_lr": 0.0, "warmup_lr": 0.0, "ema": 0.0}
    train(options, **values, label_smoothing=0.0)
    train(options, **values, label_smoothing=0.3, class_weights="balanced", out=str(tmp_path / "smoothed"))
    [plain], [smoothed] = read_results(options.run.out), read_results(tmp_path / "smoothed")
    assert smoothed["loss"] == plain["loss"]
    assert smoothed["train_loss"] != plain["train_loss"]


def test_worker_processes_do_not_change_the_result(options: TrainingOptions, tmp_path: Path) -> None:
    train(options, epochs=1)
    train(options, epochs=1, workers=1, out=str(tmp_path / "workers"))
    assert_same_run(options.run.out, tmp_path / "workers")


def test_images_in_a_table_are_copied_during_the_run_and_a_line_says_so(
    options: TrainingOptions, parquet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(options, data=str(parquet), val_share=0.5, batch_size=8, epochs=1)
    assert run.is_complete
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{parquet.name}: copying the images into {run.folder / '.images'}"
    assert not (run.folder / ".images").exists()


def test_a_test_split_is_not_read(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "splits")
    (tmp_path / "splits" / "test").mkdir()  # it is empty
    assert train(options, data=str(tmp_path / "splits"), epochs=1).is_complete
    shutil.rmtree(tmp_path / "splits" / "train")
    with pytest.raises(DataError, match="no train split"):
        train(options, data=str(tmp_path / "splits"), out=str(tmp_path / "other"))


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_missing_tracker_is_an_error_before_the_first_step(options: TrainingOptions) -> None:
    with pytest.raises(ImportError, match="pip install wandb"):
        train(options, report_to="wandb")
    assert not Path(options.run.out).exists()


def test_open_choices_are_resolved_and_recorded(short_run: Run, short_options: TrainingOptions) -> None:
    text = (short_run.folder / "args.yaml").read_text()
    arguments = yaml.safe_load(text)
    assert arguments["precision"] in ("fp32", "bf16", "fp16")
    assert arguments["teacher"] is None
    description = f"32x32: 48 training images of 3 classes, 18 validation images, on 1 x {DEVICE} in "
    assert text.splitlines()[0].endswith(description + arguments["precision"])
    assert train(short_options, resume=True).is_complete


def test_a_run_is_not_overwritten_and_not_resumed_with_other_options(
    short_run: Run, short_options: TrainingOptions, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="which contains a run: continue it with `resume`"):
        train(short_options)
    with pytest.raises(ConfigError, match=r"cannot resume with other values of `epochs`, `lr`"):
        train(short_options, lr=1e-3, epochs=3, resume=True)
    moved = shutil.copytree(short_options.data.data, tmp_path / "moved")
    with pytest.warns(LevitWarning, match="at another path"):
        again = train(short_options, data=str(moved), resume=True)
    assert again.is_complete
    assert again.epochs == 1


def test_a_run_is_not_resumed_with_other_weights_of_its_teacher(options: TrainingOptions, tmp_path: Path) -> None:
    save_levit(tmp_path / "teacher", COLORS)
    distilled = options.with_values(teacher=str(tmp_path / "teacher"), epochs=1)
    train(distilled)
    assert train(distilled, resume=True).is_complete
    weights = load_file(tmp_path / "teacher" / "model.safetensors")
    save_file({name: tensor * 2 for name, tensor in weights.items()}, tmp_path / "teacher" / "model.safetensors")
    with pytest.raises(ConfigError, match=r"cannot resume with other weights of the teacher"):
        train(distilled, resume=True)


@pytest.mark.parametrize("network", ["levit", "timm/test_resnet"])
def test_a_run_is_resumed_without_its_initial_weights(options: TrainingOptions, tmp_path: Path, network: str) -> None:
    if network == "levit":
        initial = save_levit(tmp_path / "initial", ("one", "two"), drop_path_rate=0.3)
    else:
        plain = options.with_values(model=network, from_scratch=True, drop_path=None, epochs=1)
        initial = train(plain, out=str(tmp_path / "initial")).folder
    options = options.with_values(model=str(initial), from_scratch=False, drop_path=None, epochs=1)
    train(options)
    stopped = options.with_values(out=str(tmp_path / "stopped"), resume=True)
    assert not run_training(stopped, [StopAfterSteps(1)]).is_complete
    shutil.rmtree(initial)
    assert train(stopped).is_complete
    assert_same_run(options.run.out, stopped.run.out)
    configurations = [
        {file.name: file.read_text() for file in Path(folder).glob("*.json")}
        for folder in (options.run.out, stopped.run.out)
    ]
    assert configurations[0] == configurations[1] != {}


def test_images_and_run_directory_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"^data is missing: give train\(data=…\)"):
        train(out="run")
    with pytest.raises(ConfigError, match=r"^out is missing: give train\(out=…\)"):
        train(data="photos")


def test_an_invalid_option_is_an_error_that_names_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"^lr is -1\.0: must be at least 0") as caught:
        train(data="photos", out="run", lr=-1)
    assert "--" not in str(caught.value)


def test_a_run_directory_among_the_images_is_an_error(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors / "train", tmp_path / "photos")
    inside = tmp_path / "photos" / "run"
    with pytest.raises(ConfigError, match="where every folder is a class of images"):
        train(options, data=str(tmp_path / "photos"), out=str(inside))
    assert not inside.exists()


def test_unreadable_validation_images_are_an_error(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "bad")
    for file in (tmp_path / "bad" / "validation").rglob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="no validation image can be read"):
        train(options, data=str(tmp_path / "bad"), epochs=1)


def test_a_run_is_not_resumed_with_other_images(options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "colors")
    options = options.with_values(data=str(tmp_path / "colors"), epochs=1)
    train(options)
    red = tmp_path / "colors" / "train" / "red"
    (red / "0.png").rename(red / "another.png")
    arguments = (Path(options.run.out) / "args.yaml").read_bytes()
    (red / "1.png").unlink()
    with pytest.raises(ConfigError, match=r"run cannot resume with other images or labels"):
        train(options, resume=True)
    assert (Path(options.run.out) / "args.yaml").read_bytes() == arguments


def test_a_run_with_an_error_before_its_start_leaves_no_directory(
    options: TrainingOptions, colors: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="patch_size"):
        train(options, model="levit-128s", from_scratch=True, patch_size=12)
    with pytest.raises(ConfigError, match=r"^image_size is 32x32, which the network does not take"):
        train(options, model="timm/vit_tiny_patch16_224", from_scratch=True, image_size=32, drop_path=None)
    with pytest.raises(DataError, match="teacher"):
        train(options, teacher=options.model.model)
    shutil.copytree(colors, tmp_path / "fewer")
    shutil.rmtree(tmp_path / "fewer" / "train" / "red")
    with pytest.raises(DataError, match="red"):
        train(options, data=str(tmp_path / "fewer"))
    with pytest.raises(DataError, match=r"^validation: the model has no label for 1 of 3 classes \('red'\)"):
        train(options, data=str(tmp_path / "fewer"), val=str(colors))
    assert not Path(options.run.out).exists()


def test_a_run_stops_early_after_epochs_without_a_better_one(
    options: TrainingOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    idle = options.with_values(
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


def test_of_equally_good_epochs_the_one_with_the_lowest_loss_is_the_best(options: TrainingOptions) -> None:
    run = train(options, val_share=0.1, epochs=4, metric="top5", ema=0.0)  # there are three classes
    losses = [row["loss"] for row in read_results(run.folder)]
    assert {row["top5"] for row in read_results(run.folder)} == {1}
    assert run.best_epoch == 1 + losses.index(min(losses)) > 1


def test_unreadable_training_images_are_reported_or_end_the_run(
    options: TrainingOptions, colors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(colors, tmp_path / "bad")
    (tmp_path / "bad" / "train" / "red" / "0.png").write_bytes(b"no picture")
    bad = options.with_values(data=str(tmp_path / "bad"), epochs=1, repeats=1, batch_size=48)
    assert train(bad).is_complete
    lines = capsys.readouterr().err.splitlines()
    [line] = [line for line in lines if "red/0.png" in line]
    assert "not an image" in line
    assert line.endswith("; replaced by the next image")
    with pytest.raises(DataError, match=r"red/0.png: not an image.*`on_bad_image` to skip"):
        train(bad, out=str(tmp_path / "fails"), on_bad_image="fail")


def test_a_step_with_another_number_of_images_than_the_batch_size_is_a_warning(options: TrainingOptions) -> None:
    with pytest.warns(LevitWarning, match="`batch_size` is 64: a step has 48 images, because there are 48 training"):
        assert train(options, batch_size=64, epochs=1).is_complete
    match = "`batch_size` is 18: a step has 16 images, 4 microbatches of 4, because microbatches have an even number"
    with pytest.warns(LevitWarning, match=match):
        assert train(options, batch_size=18, accumulate=4, epochs=1, out=f"{options.run.out}-accumulated").is_complete


def test_several_labels_per_image_are_trained_independently(options: TrainingOptions, tmp_path: Path) -> None:
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
    run = train(options, data=str(folder), epochs=6, mixup=0.2, cutmix=0.0)
    assert run.metric == "map"
    assert run.best is not None
    assert 0.7 < run.best <= 1
    results = read_results(run.folder)
    assert "top1" not in results[0]
    assert all(row["train_top1"] < 0.95 for row in results)  # an eighth of the images have no label at all
    assert json.loads((run.folder / "config.json").read_text())["problem_type"] == "multi_label_classification"
    prediction = levit.Classifier(run.folder, precision="fp32")(folder / "train" / "0.png")
    np.testing.assert_allclose(prediction.scores, 1 / (1 + np.exp(-prediction.logits)), rtol=1e-5)
