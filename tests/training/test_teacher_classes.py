"""Runs on classes with WordNet ids, and networks with all classes of their teacher, more than those of the data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import levit
from levit.errors import ConfigError, DataError, LevitWarning
from levit.spec.labels import default_labels, imagenet_classes
from levit.spec.preprocessing import Preprocessing
from levit.training.option_groups import TeacherOptions
from levit.training.options import TrainingOptions
from levit.training.teacher_opening import LoadedTeacher, choose_classes
from levit.training.timm_networks import ClassificationNetwork
from levit.training.train import run_training, train
from tests.training.runs import StopAfterSteps, assert_same_run, read_results
from tests.training.tiny import save_levit

IDS = {"red": "n03126707", "green": "n01440764", "blue": "n02012849"}
NAMES = ("tench", "crane (bird)", "crane (machine)")
LABELS = ("tench, Tinca tinca", "goldfish, Carassius auratus", "crane", "zebra", "crane")
STUDENT = ("tench, Tinca tinca", "goldfish, Carassius auratus", "crane (bird)", "zebra", "crane (machine)")
ZEBRA = 3


@pytest.fixture(scope="module")
def data(colors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of three colors in folders with WordNet ids."""
    folder = tmp_path_factory.mktemp("ids") / "ids"
    for split in ("train", "validation"):
        for color, identifier in IDS.items():
            shutil.copytree(colors / split / color, folder / split / identifier)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that predicts for every image a class that the data does not have."""
    folder = save_levit(tmp_path_factory.mktemp("teacher"), LABELS)
    weights = load_file(folder / "model.safetensors")
    weights["classifier.linear.weight"].zero_()
    weights["classifier.linear.bias"] = 8 * torch.eye(len(LABELS))[ZEBRA]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def options(run_options: TrainingOptions, data: Path) -> TrainingOptions:
    """Options of a run of six steps."""
    return run_options.with_values(data=str(data))


def labels_of(folder: Path) -> tuple[str, ...]:
    return levit.read_checkpoint(folder).labels


@pytest.mark.slow
def test_a_network_with_all_classes_of_its_teacher_can_predict_one_that_the_data_lacks(
    options: TrainingOptions, teacher: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(LevitWarning, match=r"copies of training images: 18 of 18 \("):
        run = train(
            options, teacher=str(teacher), teacher_classes="all", alpha=0.9, ema=0.0, epochs=3,
            class_weights="balanced", unlabeled=str(data / "validation"),
        )  # fmt: skip
    assert "48 training images of 3 of 5 classes and 18 without labels" in capsys.readouterr().err
    assert labels_of(run.folder) == STUDENT
    network = levit.LevitForImageClassificationWithTeacher.from_pretrained(run.folder / "last").eval()
    output = network(torch.zeros(1, 3, 32, 32))
    assert int(output.distillation_logits.argmax()) == ZEBRA
    assert all(row["top1"] <= row["top5"] == 1 for row in read_results(run.folder))
    with pytest.warns(LevitWarning, match=r"was trained on 18 of these 18 images"):
        evaluation = levit.evaluate(run.folder, data, split="validation")
    assert evaluation.top1.value == pytest.approx(run.best, abs=1 / 18 + 1e-6)
    assert evaluation.class_indices == (0, 2, 4)


@pytest.mark.slow
def test_a_run_with_all_classes_of_its_teacher_is_resumed_to_the_same_bits(
    options: TrainingOptions, teacher: Path, tmp_path: Path
) -> None:
    options = options.with_values(teacher=str(teacher), teacher_classes="all", teacher_engine="torch")
    whole = train(options, out=str(tmp_path / "whole"))
    stopped = run_training(options, callbacks=[StopAfterSteps(4)])
    assert not stopped.is_complete
    assert labels_of(stopped.folder / "last") == STUDENT
    assert train(options, resume=True).is_complete
    assert_same_run(whole.folder, stopped.folder)


def test_a_run_on_wordnet_ids_has_names_and_is_evaluated_and_fine_tuned_on_the_ids(
    options: TrainingOptions, data: Path, tmp_path: Path
) -> None:
    run = train(options, ema=0.0, mixup=0.0, cutmix=0.0, mix_share=1.0, epochs=4)
    assert labels_of(run.folder) == labels_of(run.folder / "last") == NAMES
    assert levit.evaluate(run.folder, data, split="validation").top1.value == pytest.approx(run.best, abs=1 / 18 + 1e-6)
    again = train(options, model=str(run.folder), out=str(tmp_path / "again"), lr=0.0, min_lr=0.0, warmup_lr=0.0)
    assert labels_of(again.folder) == NAMES
    before, after = (load_file(folder / "model.safetensors") for folder in (run.folder, again.folder))
    assert torch.equal(before["classifier.linear.weight"], after["classifier.linear.weight"])


@pytest.mark.slow
def test_a_run_of_an_earlier_version_with_ids_as_labels_is_resumed_to_the_same_bits(
    options: TrainingOptions, tmp_path: Path
) -> None:
    whole = train(options, out=str(tmp_path / "whole"))
    stopped = run_training(options, callbacks=[StopAfterSteps(4)]).folder
    for file in (stopped / "config.json", stopped / "last" / "config.json"):
        content = json.loads(file.read_text())
        content["id2label"] = dict(enumerate(sorted(IDS.values())))
        content["label2id"] = {name: index for index, name in content["id2label"].items()}
        file.write_text(json.dumps(content))
    assert labels_of(stopped / "last") == tuple(sorted(IDS.values()))
    values = yaml.safe_load((stopped / "args.yaml").read_text())
    del values["teacher_classes"]
    (stopped / "args.yaml").write_text(yaml.safe_dump(values))
    assert train(options, resume=True).is_complete
    assert_same_run(whole.folder, stopped)
    assert labels_of(stopped) == NAMES


def loaded(name: str, *labels: str) -> LoadedTeacher:
    network = ClassificationNetwork(torch.nn.Identity(), Preprocessing(resize=32, crop=None), labels)
    return LoadedTeacher(name, network, weights_hash="")


def choose(*teachers: LoadedTeacher, classes: tuple[str, ...] = (), choice: str = "all", is_multi_label: bool = False):
    options = TeacherOptions(teacher=",".join(teacher.name for teacher in teachers), teacher_classes=choice)
    data = SimpleNamespace(classes=classes, name="pets", is_multi_label=is_multi_label)
    return choose_classes(teachers, options, data)  # type: ignore[arg-type]  # only these fields are read


def test_the_classes_are_those_of_the_data_by_default():
    assert choose(loaded("a", *LABELS), classes=("zebra", "crane"), choice="data") == ("zebra", "crane")


def test_the_classes_of_several_teachers_have_the_order_and_the_names_of_the_first():
    others = loaded("b", "n02391049", "n03126707", "n02012849", "goldfish", "tench")
    assert choose(loaded("a", *LABELS), others, classes=("Tench", "n02391049")) == STUDENT
    assert choose(others, loaded("a", *LABELS))[:3] == ("zebra", "crane (machine)", "crane (bird)")


def test_all_thousand_classes_of_imagenet_have_different_names():
    classes = choose(loaded("a", *default_labels(1000)), classes=tuple(one for one, _ in imagenet_classes())[::-1])
    assert len({*classes}) == len(classes) == 1000


@pytest.mark.parametrize(
    ("teachers", "values", "kind", "message"),
    [
        (
            [LABELS],
            {"classes": ("fox",)},
            DataError,
            r"^`teacher` a: not every class .* its 5 labels .*no label for",
        ),
        (
            [LABELS],
            {"classes": ("crane",)},
            DataError,
            r"'crane' may be 'crane \(bird\)' or .*: name the classes as",
        ),
        (
            [LABELS, LABELS[:4]],
            {},
            DataError,
            r"^`teacher` b: its labels are not those of a: use `teacher_classes=",
        ),
        ([("dog", "cat", "dog")], {}, DataError, r"^`teacher` a: it has two labels 'dog': use `teacher_classes"),
        (
            [LABELS],
            {"is_multi_label": True},
            ConfigError,
            r"^teacher_classes.* is all, and .* pets have several label",
        ),
    ],
)
def test_labels_that_cannot_be_those_of_the_network_are_refused_in_one_line(teachers, values, kind, message):
    with pytest.raises(kind, match=message) as caught:
        choose(*(loaded(name, *labels) for name, labels in zip("ab", teachers, strict=False)), **values)
    assert "\n" not in str(caught.value)
