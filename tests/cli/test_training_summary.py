"""Commands that a training run prints at its end: they run, whatever the layout of the data."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import levit
from levit.cli.training_summary import describe_accuracy, list_files, next_commands, print_run
from levit.training.train import Run
from tests.data.datasets_on_disk import write_parquet
from tests.evaluation.color_data import ColorDataset, FlagDataset
from tests.evaluation.models import multi_label_classifier
from tests.runtime.small_model import color_classifier
from tests.training.opened_teachers import save_timm_network
from tests.training.tiny import CLASSES, photo, save_levit


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a run."""
    monkeypatch.chdir(tmp_path)
    save_levit(tmp_path / "run", CLASSES)
    return tmp_path


def test_an_evaluation_of_one_label_per_image_is_described(here, console):
    levit.evaluate(color_classifier(), ColorDataset(), out="run/evaluation")
    accuracy = "70.00 % (95 % interval 39.68 to 89.22) of 10 validation images"
    run = run_in(Path("run"), validation=None)
    assert describe_accuracy(run) == [f"top-1 {accuracy}"]
    [files] = list_files(run.folder)
    names = ("evaluation/report.html", "evaluation/mistakes.csv", "val_files.csv")
    assert all(str(Path("run", name)) in files for name in names)
    assert accuracy in " ".join(console("info", "run").out.split())


def test_an_evaluation_of_several_labels_per_image_is_described_without_a_table_of_mistakes(here, console):
    levit.evaluate_multi_label(multi_label_classifier(), FlagDataset(), out="run/evaluation")
    accuracy = "mean average precision 100.00 % of 4 validation images"
    run = run_in(Path("run"), validation=None)
    assert describe_accuracy(run) == [accuracy]
    [files] = list_files(run.folder)
    assert str(Path("run", "evaluation", "report.html")) in files
    assert "mistakes" not in files
    assert accuracy in " ".join(console("info", "run").out.split())


def test_without_an_evaluation_the_accuracy_is_that_of_the_best_epoch(here):
    run = run_in(Path("run"), validation=None)
    assert describe_accuracy(run) == ["top1 90.00 % in epoch 1"]
    assert describe_accuracy(replace(run, metric="loss")) == ["loss 0.9000 in epoch 1"]
    assert describe_accuracy(replace(run, best=None)) == list_files(run.folder) == []


@pytest.mark.parametrize("has_state", [False, True])
def test_a_stopped_run_says_whether_it_was_saved(here, capsys, has_state):
    if has_state:
        Path("run", "last").mkdir()
        Path("run", "last", "training_state.pt").touch()
    print_run(replace(run_in(Path("run"), validation=None), is_complete=False), as_json=False)
    line = "stopped and saved: the same command with --resume continues run"
    if not has_state:
        line = "stopped before a state was saved: the same command with --resume starts run again"
    assert capsys.readouterr() == ("", f"{line}\n")


def write_photos(folder):
    """Three photos of each class."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            photo(10 * label + number).save(folder / name / f"{number}.png")


def run_in(folder, *, validation):
    """A complete run on the folder `photos`."""
    return Run(
        folder=folder, is_complete=True, stopped_early=False, metric="top1", best=0.9, best_epoch=1, epochs=1,
        data="photos", validation=validation, is_main=True,
    )  # fmt: skip


def commands_of(here, *, validation=None):
    """Commands of a run whose validation images are the first ones of each class, without those that do not end."""
    (here / "run" / "val_files.csv").write_text("file,label\n" + "".join(f"{name}/0.png,{name}\n" for name in CLASSES))
    title, *commands, export, serve = next_commands(run_in((here / "run").relative_to(here), validation=validation))
    assert (title, export, serve) == ("next:", "  levit export run run.onnx", "  levit serve run")
    return [command.strip() for command in commands]


PREDICT = "levit predict photos --model run --gallery run.html"


@pytest.mark.parametrize(
    ("splits", "validation", "expected"),
    [
        (
            [], None,
            ["levit split photos --test-files run/val_files.csv --out photos-split", "levit evaluate run photos-split"],
        ),
        (
            ["train"], None,
            [
                "levit split photos --split train --test-files run/val_files.csv --out photos-split",
                "levit evaluate run photos-split",
            ],
        ),
        (["train", "test"], None, ["levit evaluate run photos --split test"]),
        (["train", "val"], "photos", ["levit evaluate run photos --split validation"]),
        (["train", "val", "test"], "photos", ["levit evaluate run photos --split test"]),
        ([], "others", ["levit evaluate run others"]),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_the_commands_run_on_a_folder_with_these_splits(console, here, splits, validation, expected):
    for split in splits or [""]:
        write_photos(here / "photos" / split)
    write_photos(here / "others")
    commands = commands_of(here, validation=validation)
    assert commands == [PREDICT, *expected]
    for command in commands:
        result = console(*shlex.split(command)[1:])
        assert result.code == 0, result.err


def test_images_inside_of_other_files_are_neither_predicted_nor_split(here):
    (here / "photos").mkdir()
    write_parquet(here / "photos" / "train-0.parquet")
    assert commands_of(here) == []
    shutil.copy(here / "photos" / "train-0.parquet", here / "photos" / "test-0.parquet")
    assert commands_of(here) == ["levit evaluate run photos --split test"]


@pytest.mark.parametrize(
    ("validation", "expected"), [(None, ""), ("photos", ""), ("other photos", " --val 'other photos'")]
)
def test_a_network_of_timm_is_a_teacher(here, validation, expected):
    save_timm_network(here / "teacher")
    commands = next_commands(run_in(Path("teacher"), validation=validation))
    assert commands == ["next:", f"  levit train photos{expected} --model levit-256 --teacher teacher"]


def test_archives_are_not_read_again(here):
    (here / "photos").mkdir()
    (here / "photos" / "train-0.tar").write_text("not read")
    assert commands_of(here) == []
