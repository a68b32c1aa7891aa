"""Runs that are complete or were stopped, and what they may be resumed with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

import levit
from levit.errors import ConfigError, LevitWarning
from levit.training.options import TrainingOptions
from levit.training.run_state import load_state
from levit.training.train import Run, run_training, train
from tests.training.runs import COLORS, StopAfterSteps, assert_same_run
from tests.training.tiny import save_levit


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


def test_open_choices_are_resolved_and_recorded(short_run: Run, short_options: TrainingOptions) -> None:
    text = (short_run.folder / "args.yaml").read_text()
    arguments = yaml.safe_load(text)
    assert arguments["precision"] in ("fp32", "bf16", "fp16")
    assert arguments["teacher"] is None
    description = text.splitlines()[0]
    assert "32x32: 48 training images of 3 classes, 18 validation images" in description
    assert description.endswith(f", on 1 x cpu in {arguments['precision']}")
    assert train(short_options, resume=True).is_complete


def test_a_run_without_its_optimizer_does_not_go_on(
    short_options: TrainingOptions, short_run: Run, tmp_path: Path
) -> None:
    """Its options were edited to more epochs than it had."""
    run = shutil.copytree(short_run.folder, tmp_path / "run")
    arguments = run / "args.yaml"
    arguments.write_text(arguments.read_text().replace("epochs: 1\n", "epochs: 2\n", 1))
    with pytest.raises(ConfigError, match="cannot be continued: the run completed after epoch 1 and its optimizer"):
        train(short_options, out=str(run), epochs=2, resume=True)


def test_a_run_is_not_overwritten_and_not_resumed_with_other_options(
    short_run: Run, short_options: TrainingOptions, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="which contains a run: continue it with `resume`"):
        train(short_options)
    with pytest.raises(ConfigError, match=r"cannot resume with other values of `epochs`, `lr`"):
        train(short_options, lr=1e-3, epochs=3, accumulate=2, resume=True)
    moved = shutil.copytree(short_options.data.data, tmp_path / "moved")
    with pytest.warns(LevitWarning, match="at another path"):
        again = train(short_options, data=str(moved), resume=True)
    assert again.is_complete
    assert again.epochs == 1


def test_a_run_is_resumed_with_fewer_images_at_once(run_options: TrainingOptions) -> None:
    assert not run_training(run_options, [StopAfterSteps(1)]).is_complete
    with pytest.warns(LevitWarning, match="started with `accumulate` 1 and resumed with 2: results are not bit-exact"):
        assert train(run_options, accumulate=2, resume=True).is_complete
    assert train(run_options, accumulate=2, resume=True).is_complete


def test_another_name_of_the_same_images_is_not_another_path(
    run_options: TrainingOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = run_options.with_values(epochs=1)
    train(options)
    folder = Path(options.data.data)
    monkeypatch.chdir(folder.parent)
    assert train(options, data=f"{folder.name}/", resume=True).is_complete


@pytest.mark.slow
def test_a_run_is_not_resumed_with_other_weights_of_its_teacher(run_options: TrainingOptions, tmp_path: Path) -> None:
    save_levit(tmp_path / "teacher", COLORS)
    distilled = run_options.with_values(teacher=str(tmp_path / "teacher"), epochs=1)
    train(distilled)
    assert train(distilled, resume=True).is_complete
    weights = load_file(tmp_path / "teacher" / "model.safetensors")
    save_file({name: tensor * 2 for name, tensor in weights.items()}, tmp_path / "teacher" / "model.safetensors")
    with pytest.raises(ConfigError, match=r"cannot resume with other weights of the teacher"):
        train(distilled, resume=True)


def test_a_run_is_not_resumed_with_other_images(run_options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "colors")
    options = run_options.with_values(data=str(tmp_path / "colors"), epochs=1)
    train(options)
    red = tmp_path / "colors" / "train" / "red"
    (red / "0.png").rename(red / "another.png")
    arguments = (Path(options.run.out) / "args.yaml").read_bytes()
    (red / "1.png").unlink()
    with pytest.raises(ConfigError, match=r"run cannot resume with other images or labels"):
        train(options, resume=True)
    assert (Path(options.run.out) / "args.yaml").read_bytes() == arguments


@pytest.mark.parametrize("network", ["levit", pytest.param("timm/test_resnet", marks=pytest.mark.slow)])
def test_a_run_is_resumed_without_its_initial_weights(
    run_options: TrainingOptions, tmp_path: Path, network: str
) -> None:
    if network == "levit":
        initial = save_levit(tmp_path / "initial", ("one", "two"), drop_path_rate=0.3)
    else:
        plain = run_options.with_values(model=network, from_scratch=True, drop_path=None, epochs=1)
        initial = train(plain, out=str(tmp_path / "initial")).folder
    options = run_options.with_values(model=str(initial), from_scratch=False, drop_path=None, epochs=1)
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
