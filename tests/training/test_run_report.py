"""The report of a run on its validation images, and the record of its training images."""

import csv
import json
import os
import re
import shutil
import sys
import warnings

import numpy as np
import pytest

import levit
from levit.errors import LevitWarning
from levit.evaluation.training_images import TRAINING_IMAGES_FILE
from levit.training.model_card_writer import is_written_by_levit
from tests.training.runs import StopAfterSteps, StopAtStart

VALUES = {"epochs": 1, "batch_size": 16, "precision": "fp32", "workers": 0, "report_to": "none"}


@pytest.fixture(scope="module")
def run(colors, network, tmp_path_factory):
    """A run with a quarter of the training images for validation."""
    out = tmp_path_factory.mktemp("report") / "run"
    return levit.train(colors / "train", model=str(network), out=out, val_share=0.25, **VALUES)


def listed(run):
    with (run.folder / "val_files.csv").open() as stream:
        return list(csv.DictReader(stream))


def training_files(run, colors):
    validation = {row["file"] for row in listed(run)}
    files = sorted((colors / "train").glob("*/*.png"))
    return [file for file in files if f"{file.parent.name}/{file.name}" not in validation]


def test_a_complete_run_has_the_files_of_an_evaluation(run):
    metrics = json.loads((run.folder / "evaluation" / "metrics.json").read_text())
    assert metrics["images"]["evaluated"] == len(listed(run)) == 12
    assert metrics["top1"]["low"] <= metrics["top1"]["value"] <= metrics["top1"]["high"]
    assert (run.folder / "evaluation" / "report.html").is_file()


def test_the_validation_images_are_listed_with_their_labels(run, colors):
    for row in listed(run):
        assert (colors / "train" / row["file"]).is_file()
        assert row["file"].split("/")[0] == row["label"]


def test_the_list_selects_the_test_set_of_a_split(run, colors, tmp_path):
    from levit.evaluation.split_data import split_data

    split_data(colors / "train", tmp_path / "split", test_files=run.folder / "val_files.csv", similarity=None)
    assert len(list((tmp_path / "split" / "test").glob("*/*.png"))) == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert levit.evaluate(run.folder, tmp_path / "split", split="test").num_evaluated == 12


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows any bytes in file names")
def test_names_in_another_encoding_are_listed_with_their_bytes(colors, network, tmp_path):
    from levit.evaluation.split_data import split_data

    photos = tmp_path / os.fsdecode(b"caf\xe9")
    for file in sorted((colors / "train").glob("*/*.png")):
        target = photos / file.parent.name / os.fsdecode(b"\xe9" + file.name.encode())
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    values = VALUES | {"model": str(network), "val_share": 0.25}
    run = levit.train(photos, out=tmp_path / "run", **values)
    assert b"blue/\xe9" in (run.folder / "val_files.csv").read_bytes()
    assert (run.folder / "evaluation" / "metrics.json").exists()
    assert is_written_by_levit(run.folder / "README.md")
    assert levit.train(photos, out=tmp_path / "run", resume=True, **values).is_complete
    split_data(photos, tmp_path / "split", test_files=run.folder / "val_files.csv", similarity=None)
    assert len(list((tmp_path / "split" / "test").glob("*/*.png"))) == 12


def test_an_evaluation_on_training_images_is_warned_about(run, colors):
    text = f"{re.escape(str(run.folder))} was trained on 36 of these 48 images: its accuracy on them says little"
    with pytest.warns(LevitWarning, match=text):
        levit.evaluate(run.folder, colors / "train")
    with pytest.warns(LevitWarning, match="was trained on 36 of these 48 images"):
        levit.evaluate(run.folder / "last", colors / "train")


def test_training_images_are_recognized_by_content_and_not_by_name(run, colors, tmp_path):
    others = sorted((colors / "validation").glob("*/*.png"))
    for number, file in enumerate(training_files(run, colors)):
        for target, content in (
            (tmp_path / "renamed" / file.parent.name / f"{number}.png", file),
            (tmp_path / "others" / file.parent.name / file.name, others[number % len(others)]),
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(content, target)
    with pytest.warns(LevitWarning, match="was trained on 36 of these 36 images"):
        levit.evaluate(run.folder, tmp_path / "renamed")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert levit.evaluate(run.folder, tmp_path / "others").num_evaluated == 36


def test_one_training_image_among_others_is_warned_about(run, colors, tmp_path):
    shutil.copytree(colors / "validation", tmp_path / "mixed")
    file = training_files(run, colors)[0]
    shutil.copy(file, tmp_path / "mixed" / file.parent.name / "copy.png")
    with pytest.warns(LevitWarning, match="was trained on 1 of these 19 images"):
        levit.evaluate(run.folder, tmp_path / "mixed")


def test_validation_images_that_are_copies_of_training_images_are_warned_about(colors, network, tmp_path):
    shutil.copytree(colors / "validation", tmp_path / "validation")
    shutil.copy(colors / "train" / "green" / "7.png", tmp_path / "validation" / "red" / "copy.png")
    values = VALUES | {"model": str(network), "val": tmp_path / "validation", "callbacks": [StopAtStart()]}
    match = (
        r"^validation images that are copies of training images: 1 of 19 \(red/copy\.png of green/7\.png\): .*"
        "`levit split` keeps them together$"
    )
    with pytest.warns(LevitWarning, match=match):
        levit.train(colors / "train", out=tmp_path / "run", **values)


@pytest.mark.parametrize("option", ["model", "teacher"])
def test_validation_images_that_the_initial_weights_or_the_teacher_know_are_warned_about(
    run, colors, network, tmp_path, option
):
    values = {"model": str(network), "val_share": 0.25, "callbacks": [StopAtStart()], option: str(run.folder)}
    out = tmp_path / "run"
    with pytest.warns(
        LevitWarning, match=r"was trained on \d+ of the 12 validation images: .*give other images"
    ) as caught:
        levit.train(colors / "train", out=out, seed=1, **VALUES | values)
    (text,) = (str(item.message) for item in caught)
    assert text.startswith(f"{run.folder} was trained on ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        levit.train(colors / "train", out=tmp_path / "same", **VALUES | values)
    added = int(re.search(r"trained on (\d+) of", text)[1]) if option == "model" else 0
    assert len(np.load(out / TRAINING_IMAGES_FILE)) == 36 + added  # also those that the initial weights were trained on
    assert len(np.load(tmp_path / "same" / TRAINING_IMAGES_FILE)) == 36


def test_the_weights_of_another_run_are_not_the_initial_ones_of_random_weights(run, colors, tmp_path):
    values = {"model": str(run.folder), "from_scratch": True, "val_share": 0.25, "callbacks": [StopAtStart()]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        levit.train(colors / "train", out=tmp_path / "run", seed=1, **VALUES | values)
    assert len(np.load(tmp_path / "run" / TRAINING_IMAGES_FILE)) == 36


def test_the_record_of_packed_images_is_that_of_their_files(colors, network, tmp_path):
    import datasets

    values = VALUES | {"model": str(network), "callbacks": [StopAtStart()]}
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["blue", "green", "red"])}
    )
    files = sorted((colors / "train").glob("*/*.png"))
    rows = {
        "image": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
        "label": [file.parent.name for file in files],
    }
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "colors.parquet")
    levit.train(tmp_path / "colors.parquet", out=tmp_path / "packed", val=colors / "validation", **values)
    levit.train(colors / "train", out=tmp_path / "files", val=colors / "validation", **values)
    contents = [(tmp_path / name / TRAINING_IMAGES_FILE).read_bytes() for name in ("packed", "files")]
    assert contents[0] == contents[1]


def test_a_damaged_record_is_ignored(run, colors, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    for content in (b"", b"damaged", None):
        file = tmp_path / "run" / TRAINING_IMAGES_FILE
        if content is None:
            np.save(file, np.zeros((2, 2)))
        else:
            file.write_bytes(content)
        assert levit.evaluate(tmp_path / "run", colors, split="validation").num_evaluated == 18


def test_a_run_that_starts_again_without_a_state_has_the_files_of_its_own_images(run, colors, network, tmp_path):
    values = VALUES | {"model": str(network), "out": tmp_path / "run", "val_share": 0.25, "evaluation": False}
    assert not levit.train(colors / "train", **values, seed=1, callbacks=[StopAtStart()]).is_complete
    files = ("val_files.csv", TRAINING_IMAGES_FILE)
    assert all((tmp_path / "run" / name).read_bytes() != (run.folder / name).read_bytes() for name in files)
    assert levit.train(colors / "train", **values, seed=0, resume=True).is_complete
    assert all((tmp_path / "run" / name).read_bytes() == (run.folder / name).read_bytes() for name in files)


@pytest.mark.slow
def test_a_stopped_run_is_evaluated_when_it_is_complete(colors, network, tmp_path):
    values = VALUES | {"model": str(network), "out": tmp_path / "run"}
    assert not levit.train(colors, **values, callbacks=[StopAfterSteps(1)]).is_complete
    assert not (tmp_path / "run" / "evaluation").exists()
    assert (tmp_path / "run" / "val_files.csv").exists()
    assert levit.train(out=tmp_path / "run", resume=True).is_complete
    metrics = (tmp_path / "run" / "evaluation" / "metrics.json").stat().st_mtime_ns
    assert levit.train(out=tmp_path / "run", resume=True).is_complete
    assert (tmp_path / "run" / "evaluation" / "metrics.json").stat().st_mtime_ns == metrics


@pytest.mark.slow
def test_a_report_that_cannot_be_written_does_not_fail_the_run(colors, network, tmp_path, capsys):
    values = VALUES | {"model": str(network), "out": tmp_path / "run"}
    assert not levit.train(colors, **values, callbacks=[StopAfterSteps(1)]).is_complete
    (tmp_path / "run" / "evaluation").write_text("mine")
    assert levit.train(out=tmp_path / "run", resume=True).is_complete
    assert "evaluation was not written: " in capsys.readouterr().err
    assert (tmp_path / "run" / "evaluation").read_text() == "mine"


class RemoveAfterValidation(levit.Callback):
    """Deletes a file after it was validated on."""

    def __init__(self, file):
        self._file = file

    def on_checkpoint(self, progress):
        self._file.unlink(missing_ok=True)


def test_the_evaluation_of_a_run_leaves_out_a_validation_file_that_has_gone(colors, network, tmp_path):
    shutil.copytree(colors / "validation", tmp_path / "validation")
    gone = min((tmp_path / "validation").glob("*/*.png"))
    callbacks = [RemoveAfterValidation(gone)]
    out = tmp_path / "run"
    levit.train(
        colors / "train", model=str(network), out=out, val=tmp_path / "validation", callbacks=callbacks, **VALUES
    )
    metrics = json.loads((out / "evaluation" / "metrics.json").read_text())
    num_images = len(list((colors / "validation").glob("*/*.png")))
    assert metrics["images"]["evaluated"] == num_images - 1
