"""A data set of the hub by its name: from a cache laid out as huggingface_hub does it, by the real `datasets`."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.data.test_labeled_images import png, write_parquet

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# In a process of its own, because both libraries read their settings when they are imported.
PROGRAM = """
import json, sys
from levit.data.open_data import open_data, open_splits
from levit.errors import DataError

def describe(data):
    rows = [(item.labels, len(item.image) if isinstance(item.image, bytes) else item.image) for item in data]
    found = {"name": data.name, "classes": data.classes, "rows": rows, "sha256": data.sha256()}
    return found | {"is_multi_label": data.is_multi_label}

def refused(*arguments, **options):
    try:
        open_data(*arguments, **options)
    except DataError as error:
        return str(error)

json.dump({
    "parquet": describe(open_data("user/flowers")),
    "train": describe(open_data("user/flowers", split="train")),
    "splits": {name: len(part) for name, part in open_splits("user/flowers").items()},
    "several": describe(open_data("user/scenes")),
    "folders": describe(open_data("user/pets")),
    "valid": describe(open_data("user/flags")),
    "not a name": refused("./nothing"),
    "no split": refused("user/flowers", split="validation"),
    "not there": refused("user/nothing"),
    "incomplete": refused("user/half"),
}, sys.stdout)
"""


def repository(home, name):
    """The folder that has the files of a data set in the hub's cache."""
    folder = home / "hub" / f"datasets--user--{name}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    (snapshot / "data").mkdir(parents=True)
    return snapshot


def ask(home):
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        environment.pop(name, None)
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Two caches of the same data."""
    made = []
    for number in range(2):
        home = tmp_path_factory.mktemp(f"hub{number}")
        flowers = repository(home, "flowers") / "data"
        blobs = flowers.parent.parent.parent / "blobs"
        blobs.mkdir()
        for split, labels in (("train", (1, 0, 1)), ("test", (0, -1))):
            write_parquet(blobs / split, labels=labels, names=("daisy", "rose"))
            (flowers / f"{split}-00000-of-00001.parquet").symlink_to(blobs / split)
        pets = repository(home, "pets")
        for name in ("train/cat/1.png", "test/cat/2.png", "test/dog/3.png"):
            file = pets / "data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(len(name)))
        flags = repository(home, "flags") / "data"
        write_parquet(flags / "train-00000-of-00001.parquet")
        write_parquet(flags / "valid-00000-of-00001.parquet", labels=(0,))
        scenes = repository(home, "scenes") / "data" / "train-00000-of-00001.parquet"
        write_parquet(scenes, labels=((1, 0), (), (0,)), names=("sky", "sea"), column="labels")
        write_parquet(repository(home, "half") / "data" / "train-00000-of-00002.parquet")
        made.append(home)
    return made


@pytest.fixture(scope="module")
def answer(homes):
    return ask(homes[0])


def test_parquet_and_folders_are_opened_by_name(answer):
    found, errors = answer
    assert errors == ""
    flowers, pets = found["parquet"], found["folders"]
    assert (flowers["name"], flowers["classes"]) == ("user/flowers test", ["daisy", "rose"])
    assert [labels for labels, _ in flowers["rows"]] == [[0], []]
    assert all(size == len(png(number)) for number, (_, size) in enumerate(flowers["rows"]))
    assert (pets["name"], pets["classes"]) == ("user/pets test", ["cat", "dog"])
    assert [labels for labels, _ in pets["rows"]] == [[0], [1]]


def test_any_of_its_splits_can_be_asked_for(answer):
    found, _ = answer
    assert found["train"]["name"] == "user/flowers train"
    assert [labels for labels, _ in found["train"]["rows"]] == [[1], [0], [1]]
    assert found["splits"] == {"train": 3, "test": 2}
    assert found["no split"] == "user/flowers: no split 'validation' (there: train, test)"


def test_what_is_not_there_or_incomplete_is_one_line(answer):
    found, _ = answer
    assert found["not there"].startswith("user/nothing: no such file or folder, and not to be had from the hub (")
    assert found["incomplete"] == "user/half: the hub's cache has 1 of 2 files of train: download it again"
    assert not any("\n" in found[name] for name in ("not there", "incomplete"))


def test_a_part_to_judge_by_may_be_called_valid(answer):
    found, _ = answer
    assert [labels for labels, _ in found["valid"]["rows"]] == [[0]]


def test_a_path_is_no_name_of_the_hub(answer):
    assert answer[0]["not a name"] == "nothing: no such file or folder"


def test_a_list_of_labels_is_several(answer):
    found, _ = answer
    several = found["several"]
    assert (several["classes"], several["is_multi_label"]) == (["sky", "sea"], True)
    assert [labels for labels, _ in several["rows"]] == [[1, 0], [], [0]]
    assert not found["parquet"]["is_multi_label"]


@pytest.mark.slow
def test_the_hash_is_that_of_the_content_wherever_it_is(answer, homes):
    other, _ = ask(homes[1])
    for name in ("parquet", "train", "folders"):
        assert other[name]["sha256"] == answer[0][name]["sha256"]
    assert other["parquet"]["sha256"] != other["train"]["sha256"]
