"""Names of data and models in a model card."""

import shlex

import pytest

from levit.training.card_sources import (
    DataSource,
    command_value,
    describe_data,
    find_base_model,
    public_name,
    shareable_command,
)
from levit.training.options import ModelOptions, TrainingOptions


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


def test_the_command_repeats_the_options_that_change_the_result():
    options = TrainingOptions.from_flat(
        data="/home/ann/my photos", val="/home/ann/val", out="/home/ann/run", resume=True, workers=3, report_to="none",
        model="/home/ann/base", teacher="/home/ann/first,timm/resnet10t", distillation="soft", tau=2.0, epochs=100,
        batch_size=256, lr=2e-3, ema=0.99, from_scratch=True, auto_augment="rand-m9-mstd0.5-inc1", mixup=0.8,
    )  # fmt: skip
    lines = shareable_command(options, "my run").splitlines()
    assert len(lines) > 1
    assert all(len(line) < 110 for line in lines)
    assert "ann" not in "".join(lines)
    arguments = shlex.split(" ".join(line.removesuffix("\\") for line in lines))
    assert arguments[:5] == ["levit", "train", "my photos", "--out", "my run"]
    assert "--from-scratch" in arguments
    assert not {"--workers", "--report-to", "--resume"} & set(arguments)
    assert arguments[arguments.index("--teacher") + 1] == "first,timm/resnet10t"


def test_a_value_is_quoted_for_a_shell():
    assert command_value("model", "/a b/c; rm -rf d") == "'c; rm -rf d'"


def base(model, **values):
    return find_base_model(ModelOptions(model=str(model), **values))


def test_the_license_of_published_weights_is_known():
    assert base("levit-128s") == base("facebook/levit-128S") == ("facebook/levit-128S", "apache-2.0")
    assert base("levit-128s", from_scratch=True) == (None, None)
    assert base("ann/pets") == ("ann/pets", None)
    assert base("timm/resnet10t") == (None, None)


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
