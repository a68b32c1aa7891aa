"""Names of data and models in a model card."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from levit.cli import app
from levit.training.card_sources import (
    DataSource,
    command_value,
    describe_data,
    find_base_model,
    public_name,
    shareable_command,
)
from levit.training.datasets import open_training_data
from levit.training.option_groups import DataOptions, ModelOptions
from levit.training.options import TrainingOptions
from levit.training.run_options import complete_options, find_resumed_run


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/secret/client/photos", "photos"),
        ("/secret/client/photos/", "photos"),
        ("../runs/first", "first"),
        ("~/runs/first", "first"),
        ("levit-128s", "levit-128s"),
        ("timm/resnet10t", "timm/resnet10t"),
        ("ann/flowers", "ann/flowers"),
        ("https://user:password@example.org:8080/a/b.pth?token=1#2", "https://example.org:8080/a/b.pth"),
    ],
)
def test_folders_and_credentials_are_left_out(text, name):
    assert public_name(text) == name


def test_an_existing_path_is_not_taken_for_a_name_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "ann" / "flowers").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert public_name("ann/flowers") == "flowers"
    assert describe_data("ann/flowers") == DataSource("flowers", "imagefolder", None)


def test_data_is_described_by_the_reader_of_the_hub():
    assert describe_data("ann/flowers") == DataSource("ann/flowers", "ann/flowers", "ann/flowers")
    assert describe_data("/data/photos.parquet") == DataSource("photos.parquet", "parquet", None)
    assert describe_data("/data/shard-0.tar") == DataSource("shard-0.tar", "webdataset", None)


def arguments_of(command):
    """The words of a command of several lines, as a shell passes them."""
    return shlex.split(command.replace("\\\n", " "))


def test_the_command_repeats_the_options_that_change_the_result():
    options = TrainingOptions.from_flat(
        data="/home/ann/my photos", val="/home/ann/val", out="/home/ann/run", resume=True, workers=3, report_to="none",
        model="/home/ann/base", teacher="/home/ann/first,timm/resnet10t", distillation="soft", tau=2.0, epochs=100,
        batch_size=256, lr=2e-3, ema=0.99, from_scratch=True, auto_augment="rand-m9-mstd0.5-inc1", mixup=0.8,
    )  # fmt: skip
    command = shareable_command(options, "my run")
    lines = command.splitlines()
    assert len(lines) > 1
    assert all(len(line) < 110 for line in lines)
    assert "ann" not in command
    expected = [
        "--out", "my run", "--val", "val", "--model", "base", "--from-scratch", "--teacher", "first,timm/resnet10t",
        "--distillation", "soft", "--tau", "2.0", "--batch-size", "256", "--ema", "0.99", "--epochs", "100",
        "--lr", "0.002", "--auto-augment", "rand-m9-mstd0.5-inc1", "--mixup", "0.8",
        # Without these, settings would follow from the number of images.
        "--new-heads", "random", "--no-freeze-batch-norm", "--layer-decay", "1.0", "--no-ema-warmup",
        "--warmup-epochs", "1.0", "--min-crop", "0.08", "--select", "best", "--save-epochs", "1",
    ]  # fmt: skip
    arguments = arguments_of(command)
    assert arguments[:3] == ["levit", "train", "my photos"]
    assert sorted(arguments[3:]) == sorted(expected)


@pytest.mark.parametrize("values", [{}, {"ema": 0.9, "ema_warmup": True, "select": "last", "lr": 1e-3}])
def test_the_command_has_the_same_settings_on_few_images(colors, monkeypatch, values):
    options = TrainingOptions.from_flat(data="pets", out="run", model="levit-256", precision="fp32", **values)
    runs = []
    monkeypatch.setattr(
        "levit.training.train.run_training",
        lambda *options, given: runs.append((*options, given)) or SimpleNamespace(is_main=False),
    )
    result = CliRunner().invoke(app, arguments_of(shareable_command(options, "run"))[1:])
    assert result.exit_code == 0, result.output
    [run] = runs
    again, given = find_resumed_run(*run)
    accelerator = SimpleNamespace(is_main_process=True, num_processes=1, device=torch.device("cpu"))
    data = open_training_data(DataOptions(data=str(colors)))
    assert complete_options(again, given, data, accelerator) == options


def test_a_value_is_quoted_for_a_shell():
    assert command_value("model", "/a b/c; rm -rf d") == "'c; rm -rf d'"


@pytest.mark.parametrize(
    ("option", "value", "name"),
    [
        ("attention_mask", "/home/ann/client/masks.safetensors", "masks.safetensors"),
        ("attention_mask", "client/masks", "masks"),  # a file that no longer exists is no name on the hub
        ("data", "/home/ann/cats, dogs/photos", "photos"),
        ("model", "/home/ann/cats,dogs/base", "base"),
        ("teacher", "/home/ann/first, /home/ann/second", "first,second"),
    ],
)
def test_a_path_is_written_without_its_folders(option, value, name):
    assert command_value(option, value) == name
    values = {"data": "photos", "out": "run", option: value}
    command = shareable_command(TrainingOptions.from_flat(**values), "run")
    assert name in arguments_of(command)
    assert not {"ann", "client", "dogs"} & {*re.split(r"\W+", command)}


def base(model, **values):
    return find_base_model(ModelOptions(model=str(model), **values))


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A cache of the hub with the weights of ann/pets."""
    repository = tmp_path / "hub" / "models--ann--pets"
    (repository / "snapshots" / "1").mkdir(parents=True)
    (repository / "snapshots" / "1" / "model.safetensors").touch()
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_the_license_of_published_weights_is_known(hub_cache):
    assert base("levit-128s") == base("facebook/levit-128S") == ("facebook/levit-128S", "apache-2.0")
    assert base("levit-128s", from_scratch=True) == (None, None)
    assert base("ann/pets") == ("ann/pets", None)
    assert base("timm/resnet10t") == (None, None)


def test_the_license_of_the_weights_in_the_package_is_known(tmp_path, monkeypatch):
    assert base("embedded") == (None, "apache-2.0")
    monkeypatch.chdir(tmp_path)
    Path("embedded").mkdir()  # a run of this name
    assert base("embedded") == (None, None)


def test_a_path_that_no_longer_exists_is_no_name_on_the_hub(hub_cache):
    assert base("runs/base") == (None, None)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: mit\nbase_model: facebook/levit-256\n---\n# Pets\n", ("facebook/levit-256", "mit")),
        ("---\nlicense: [a, b]\n---\n", (None, None)),
        ("---\nlicense: [\n---\n", (None, None)),
        ("# Pets\n", (None, None)),
        (None, (None, None)),
    ],
)
def test_the_license_of_a_folder_is_that_of_its_card(tmp_path, card, expected):
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    (tmp_path / "model.safetensors").touch()
    assert base(tmp_path) == base(tmp_path / "model.safetensors") == expected
