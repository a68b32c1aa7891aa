"""`levit train`: options from the command line and from files, and what it says."""

import csv
import json
from dataclasses import fields

import numpy as np
import pytest
import yaml
from PIL import Image

from levit.training.options import TrainingOptions, flag


@pytest.fixture
def photos(tmp_path):
    """Eight noisy pictures in two classes."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(4):
            pixels = generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    return tmp_path / "photos"


@pytest.fixture
def quick():
    """Options of a run that takes no time."""
    return [
        "--model", "levit-128s", "--from-scratch", "--image-size", "32", "--epochs", "1", "--batch-size", "4",
        "--workers", "0", "--report-to", "none", "--precision", "fp32", "--val-share", "0.25",
    ]  # fmt: skip


def test_every_option_is_in_the_help(console):
    answer = console("train", "--help")
    for field in fields(TrainingOptions):
        if field.name != "data":
            assert flag(field.name)[:13] in answer.out


def test_it_trains_and_says_where_and_how_well(console, photos, quick, tmp_path):
    answer = console("train", photos, "--out", tmp_path / "run", *quick)
    assert answer.code == 0, answer.err
    assert f"{tmp_path / 'run'}: top1 " in answer.out
    assert "6 images of 2 classes to learn from, 2 to choose by" in answer.err
    assert "epoch 1/1: loss" in answer.err
    with (tmp_path / "run" / "results.csv").open() as stream:
        assert [row["epoch"] for row in csv.DictReader(stream)] == ["1"]


def test_json_is_for_programs(console, photos, quick, tmp_path):
    answer = console("train", photos, "--out", tmp_path / "run", *quick, "--json")
    found = json.loads(answer.out)
    assert found.keys() == {"run", "is_complete", "stopped_early", "metric", "best", "best_epoch", "epochs"}
    assert (found["is_complete"], found["epochs"]) == (True, 1)


def test_what_is_given_counts_more_than_the_file(console, photos, quick, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text("lr: 1e-4\nmin_lr: 1e-6\nweight_decay: 0.3\nflip: 0.0\n")
    answer = console("train", photos, "--out", tmp_path / "run", "--config", file, *quick, "--lr", "2e-4")
    assert answer.code == 0, answer.err
    arguments = yaml.safe_load((tmp_path / "run" / "args.yaml").read_text())
    assert (arguments["lr"], arguments["weight_decay"], arguments["flip"]) == (2e-4, 0.3, 0.0)
    again = console("train", "--config", tmp_path / "run" / "args.yaml", "--out", tmp_path / "again")
    assert again.code == 0, again.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--epochs", "0"], "--epochs is 0: it must be at least 1"),
        (["--metric", "f2"], "--metric is 'f2': use top1"),
        (["--freeze", "head"], "--freeze is 'head': use nothing or stem or backbone"),
        (["--patch-size", "8"], "--patch-size: trained weights have theirs: add --from-scratch"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["--model", "levit-129", "--from-scratch"], "levit-129"),
        (["--val", "nowhere"], "nowhere: no such file or folder"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(console, photos, tmp_path, given, said):
    answer = console("train", photos, "--out", tmp_path / "run", *given)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "run" / "args.yaml").exists()


def test_a_file_with_an_option_that_there_is_not_names_it(console, photos, tmp_path):
    (tmp_path / "recipe.yaml").write_text("learning_rate: 1e-3\n")
    answer = console("train", photos, "--out", tmp_path / "run", "--config", tmp_path / "recipe.yaml")
    assert answer.code == 2
    assert "recipe.yaml: there is no option 'learning_rate'" in answer.err


def test_without_data_it_is_wrong_usage(console, tmp_path):
    answer = console("train", "--out", tmp_path / "run")
    assert answer.code == 2
    assert "give DATA" in answer.err
