"""Runs with a teacher."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import levit
from levit.errors import ConfigError
from levit.training.options import TrainingOptions
from levit.training.run_state import load_state
from levit.training.train import train
from tests.training.runs import COLORS
from tests.training.tiny import save_levit


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny LeViT with the classes of the data."""
    return save_levit(tmp_path_factory.mktemp("teacher"), COLORS)


def test_a_student_has_a_distillation_head_and_does_not_contain_its_teacher(
    run_options: TrainingOptions, teacher: Path
) -> None:
    run = train(run_options, teacher=str(teacher), epochs=1)
    names = load_file(run.folder / "model.safetensors").keys()
    assert any(name.startswith("classifier_distill") for name in names)
    assert not [name for name in names if "teacher" in name]
    stock = transformers.LevitForImageClassificationWithTeacher.from_pretrained(run.folder)
    assert stock.config.num_labels == 3
    assert "teacher" not in load_state(run.folder).tensors  # type: ignore[union-attr]
    assert json.loads((run.folder / "config.json").read_text())["architectures"] == [
        "LevitForImageClassificationWithTeacher"
    ]


def test_one_of_several_possible_labels_has_a_teacher(
    run_options: TrainingOptions, colors: Path, tmp_path: Path
) -> None:
    shutil.copytree(colors / "train", tmp_path / "photos")
    files = sorted(file.relative_to(tmp_path / "photos") for file in (tmp_path / "photos").rglob("*.png"))
    lines = [f"{file.as_posix()},{'red' if file.parent.name == 'red' else ''}" for file in files]
    (tmp_path / "photos" / "metadata.csv").write_text("\n".join(["file_name,labels", *lines]))
    teacher = str(save_levit(tmp_path / "teacher", ("red",), problem_type="multi_label_classification"))
    values = {"epochs": 1, "mixup": 0.0, "cutmix": 0.0, "mix_share": 1.0, "metric": "map"}
    run = train(run_options, data=str(tmp_path / "photos"), teacher=teacher, **values)
    assert run.best is not None


@pytest.mark.parametrize("distillation", ["hard", pytest.param("soft", marks=pytest.mark.slow)])
def test_the_distillation_head_predicts_what_the_teacher_predicts(
    run_options: TrainingOptions, tmp_path: Path, distillation: str
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
        train(run_options, teacher=str(folder), out=out, alpha=0.9, distillation=distillation, ema=0.0, epochs=3)
        network = levit.LevitForImageClassificationWithTeacher.from_pretrained(Path(out) / "last").eval()
        output = network(torch.zeros(1, 3, 32, 32))
        predictions[name] = COLORS[int(output.distillation_logits.argmax())]
    assert predictions == {"blue": "blue", "red": "red"}


def test_images_without_labels_are_counted_and_need_a_teacher(
    run_options: TrainingOptions, colors: Path, teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(colors / "train", tmp_path / "more")
    run = train(run_options, teacher=str(teacher), unlabeled=str(tmp_path / "more"), epochs=1)
    assert run.is_complete
    assert re.search(r"48 training images of 3 classes and \d+ without labels, ", capsys.readouterr().err)
    with pytest.raises(ConfigError, match=r"^unlabeled is .*, which has no effect without a teacher: give"):
        train(run_options, unlabeled=str(tmp_path / "more"))


@pytest.mark.slow
def test_a_timm_network_can_be_trained_and_be_a_teacher(run_options: TrainingOptions, tmp_path: Path) -> None:
    plain = run_options.with_values(
        model="timm/resnet10t", from_scratch=True, image_size=32, drop_path=None, epochs=1,
        out=str(tmp_path / "teacher"),
    )  # fmt: skip
    teacher = train(plain).folder
    assert train(run_options, teacher=str(teacher), epochs=1, distillation="soft", tau=2.0).is_complete
