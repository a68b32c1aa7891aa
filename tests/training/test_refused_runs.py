"""Options and images with which a run does not start or does not go on, and the errors and warnings about them."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import levit
from levit.errors import ConfigError, DataError, LevitError, LevitWarning
from levit.training.options import TrainingOptions
from levit.training.train import train


def test_images_must_be_given() -> None:
    with pytest.raises(ConfigError, match=r"^data is missing: give train\(data=…\)"):
        train(out="run")


def test_an_invalid_option_is_an_error_that_names_the_parameter() -> None:
    with pytest.raises(ConfigError, match=r"^lr is -1\.0: must be at least 0") as caught:
        train(data="photos", out="run", lr=-1)
    assert "--" not in str(caught.value)


def test_callbacks_must_be_a_list_of_callbacks() -> None:
    with pytest.raises(ConfigError, match=r"^callbacks contains <class .*, which is not a callback"):
        train(data="photos", out="run", callbacks=[levit.Callback])  # type: ignore[list-item]


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_missing_tracker_is_an_error_before_the_first_step(run_options: TrainingOptions) -> None:
    with pytest.raises(ImportError, match="pip install wandb"):
        train(run_options, report_to="wandb")
    assert not Path(run_options.run.out).exists()


def test_a_run_directory_among_the_images_is_an_error(
    run_options: TrainingOptions, colors: Path, tmp_path: Path
) -> None:
    shutil.copytree(colors / "train", tmp_path / "photos")
    inside = tmp_path / "photos" / "run"
    with pytest.raises(ConfigError, match="where every folder is a class of images"):
        train(run_options, data=str(tmp_path / "photos"), out=str(inside))
    assert not inside.exists()


def test_a_run_with_an_error_before_its_start_leaves_no_directory(
    run_options: TrainingOptions, colors: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="patch_size"):
        train(run_options, model="levit-128s", from_scratch=True, patch_size=12)
    with pytest.raises(ConfigError, match=r"^image_size is 32x32, which the network does not take"):
        train(run_options, model="timm/vit_tiny_patch16_224", from_scratch=True, image_size=32, drop_path=None)
    with pytest.raises(DataError, match="teacher"):
        train(run_options, teacher=run_options.model.model)
    shutil.copytree(colors, tmp_path / "fewer")
    shutil.rmtree(tmp_path / "fewer" / "train" / "red")
    with pytest.raises(DataError, match="red"):
        train(run_options, data=str(tmp_path / "fewer"))
    with pytest.raises(DataError, match=r"^validation: the model has no label for 1 of 3 classes \('red'\)"):
        train(run_options, data=str(tmp_path / "fewer"), val=str(colors))
    assert not Path(run_options.run.out).exists()


def test_unreadable_validation_images_are_an_error(run_options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "bad")
    for file in (tmp_path / "bad" / "validation").rglob("*.png"):
        file.write_bytes(b"no picture")
    with pytest.raises(DataError, match="no validation image can be read"):
        train(run_options, data=str(tmp_path / "bad"), epochs=1)


def test_unreadable_training_images_are_reported_or_end_the_run(
    run_options: TrainingOptions, colors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(colors, tmp_path / "bad")
    (tmp_path / "bad" / "train" / "red" / "0.png").write_bytes(b"no picture")
    bad = run_options.with_values(data=str(tmp_path / "bad"), epochs=1, repeats=1, batch_size=48)
    assert train(bad).is_complete
    lines = capsys.readouterr().err.splitlines()
    [line] = [line for line in lines if "red/0.png" in line]
    assert "not an image" in line
    assert line.endswith("; replaced by the next image")
    with pytest.raises(DataError, match=r"red/0.png: not an image.*`on_bad_image` to skip"):
        train(bad, out=str(tmp_path / "fails"), on_bad_image="fail")


def test_a_test_split_is_not_read(run_options: TrainingOptions, colors: Path, tmp_path: Path) -> None:
    shutil.copytree(colors, tmp_path / "splits")
    (tmp_path / "splits" / "test").mkdir()  # it is empty
    assert train(run_options, data=str(tmp_path / "splits"), epochs=1).is_complete
    shutil.rmtree(tmp_path / "splits" / "train")
    with pytest.raises(DataError, match="no train split"):
        train(run_options, data=str(tmp_path / "splits"), out=str(tmp_path / "other"))


@pytest.mark.slow
def test_a_step_with_another_number_of_images_than_the_batch_size_is_a_warning(run_options: TrainingOptions) -> None:
    with pytest.warns(LevitWarning, match="`batch_size` is 64: a step has 48 images, because there are 48 training"):
        assert train(run_options, batch_size=64, epochs=1).is_complete
    match = "`batch_size` is 18: a step has 16 images, 4 microbatches of 4, because microbatches have an even number"
    with pytest.warns(LevitWarning, match=match):
        assert train(
            run_options, batch_size=18, accumulate=4, epochs=1, out=f"{run_options.run.out}-accumulated"
        ).is_complete


def test_a_loss_that_is_not_finite_is_an_error_with_the_step_and_a_hint(run_options: TrainingOptions) -> None:
    with pytest.raises(LevitError, match=r"the loss is (nan|inf) in step \d+ of epoch \d+: no state .*`lr=") as caught:
        train(run_options, lr=1e30, warmup_epochs=0.0, clip=0.0)
    assert "\n" not in str(caught.value)
