"""Hub data sets are read by name with `datasets`, from a cache in the layout of huggingface_hub."""

import json
import os
import subprocess
import sys

import pyarrow.parquet
import pytest

from tests.conftest import ROOT
from tests.data.datasets_on_disk import png, write_parquet

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# In a separate process, because both libraries read their settings when they are imported.
PROGRAM = """
import json, sys
from levit.data.open_data import open_data, open_splits
from levit.errors import DataError

def describe(data):
    rows = [(item.labels, len(item.image) if isinstance(item.image, bytes) else item.image) for item in data]
    description = {"name": data.name, "classes": data.classes, "rows": rows, "sha256": data.sha256()}
    return description | {"is_multi_label": data.is_multi_label}

def error_message(*arguments, **options):
    try:
        open_data(*arguments, **options)
    except DataError as error:
        return str(error)

json.dump({
    "parquet": describe(open_data("user/flowers")),
    "train": describe(open_data("user/flowers", split="train")),
    "splits": {name: len(data) for name, data in open_splits("user/flowers").items()},
    "multi-label": describe(open_data("user/scenes")),
    "folders": describe(open_data("user/pets")),
    "valid": describe(open_data("user/flags")),
    "not a name": error_message("./nothing"),
    "no split": error_message("user/flowers", split="validation"),
    "missing": error_message("user/nothing"),
    "incomplete": error_message("user/half"),
    "no images": error_message("user/texts"),
    "two kinds of labels": describe(open_data("user/cifar")),
    "unclear labels": error_message("user/paintings"),
    "masks": describe(open_data("user/masks")),
    "class names": describe(open_data("user/birds")),
    "several class names": describe(open_data("user/trees")),
    "numbers": error_message("user/numbers"),
}, sys.stdout)
"""


def make_snapshot(home, name):
    """Create the folder of a data set in the cache of the hub."""
    folder = home / "hub" / f"datasets--user--{name}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    snapshot = folder / "snapshots" / COMMIT
    (snapshot / "data").mkdir(parents=True)
    return snapshot


def run_program(home):
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT / "src")}
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        environment.pop(name, None)
    command = [sys.executable, "-c", PROGRAM]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(process.stdout), process.stderr


def write_two_columns_of_labels(file, columns):
    """Write one image, called `img`, whose label in each column is the name of the column."""
    features = {column: {"_type": "ClassLabel", "names": [column]} for column in columns}
    metadata = {"huggingface": json.dumps({"info": {"features": {"img": {"_type": "Image"}} | features}})}
    table = pyarrow.table({"img": [{"bytes": png(0), "path": "0.png"}]} | {column: [0] for column in columns})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)


def write_with_broken_masks(file):
    """Write images of a cat and a dog, each with a mask that is not an image."""
    contents = ((png(0), png(1)), (b"", b"x"))
    images, masks = ([{"bytes": content, "path": "0.png"} for content in row] for row in contents)
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    metadata = {"huggingface": json.dumps({"info": {"features": features | {"mask": {"_type": "Image"}}}})}
    table = pyarrow.table({"image": images, "label": [0, 1], "mask": masks})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)


def write_labels(file, labels):
    """Write images with these labels, whose column has no type of its own."""
    images = [{"bytes": png(number), "path": "0.png"} for number in range(len(labels))]
    metadata = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}} | feature_of(labels)}})}
    table = pyarrow.table({"image": images, "label": labels})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), file)


def feature_of(labels):
    value = {"_type": "Value", "dtype": "int64" if isinstance(labels[0], int) else "string"}
    return {"label": {"_type": "List", "feature": value} if isinstance(labels[0], list) else value}


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    """Two caches with the same data sets."""
    homes = []
    for number in range(2):
        home = tmp_path_factory.mktemp(f"hub{number}")
        flowers = make_snapshot(home, "flowers") / "data"
        blobs = flowers.parent.parent.parent / "blobs"
        blobs.mkdir()
        for split, labels in (("train", (1, 0, 1)), ("test", (0, -1))):
            write_parquet(blobs / split, labels=labels, names=("daisy", "rose"))
            (flowers / f"{split}-00000-of-00001.parquet").symlink_to(blobs / split)
        pets = make_snapshot(home, "pets")
        for name in ("train/cat/1.png", "test/cat/2.png", "test/dog/3.png"):
            file = pets / "data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(len(name)))
        flags = make_snapshot(home, "flags") / "data"
        write_parquet(flags / "train-00000-of-00001.parquet")
        write_parquet(flags / "valid-00000-of-00001.parquet", labels=(0,))
        scenes = make_snapshot(home, "scenes") / "data" / "train-00000-of-00001.parquet"
        write_parquet(scenes, labels=((1, 0), (), (0,)), names=("sky", "sea"), column="labels")
        write_parquet(make_snapshot(home, "half") / "data" / "train-00000-of-00002.parquet")
        texts = make_snapshot(home, "texts") / "data" / "train-00000-of-00001.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"title": ["one", "two"], "stars": [1, 2]}), texts)
        for name, columns in {"cifar": ("coarse_label", "fine_label"), "paintings": ("style", "genre")}.items():
            write_two_columns_of_labels(make_snapshot(home, name) / "data" / "train-00000-of-00001.parquet", columns)
        for name, labels in {
            "birds": ["owl", "emu", None],
            "trees": [["oak"], [], ["fir"]],
            "numbers": [1, 0, 1],
        }.items():
            write_labels(make_snapshot(home, name) / "data" / "train-00000-of-00001.parquet", labels)
        write_with_broken_masks(make_snapshot(home, "masks") / "data" / "train-00000-of-00001.parquet")
        homes.append(home)
    return homes


@pytest.fixture(scope="module")
def results(homes):
    return run_program(homes[0])


def test_parquet_and_folders_are_opened_by_name(results):
    data_sets, stderr = results
    assert stderr == ""
    flowers, pets = data_sets["parquet"], data_sets["folders"]
    assert (flowers["name"], flowers["classes"]) == ("user/flowers test", ["daisy", "rose"])
    assert [labels for labels, _ in flowers["rows"]] == [[0], []]
    assert all(size == len(png(number)) for number, (_, size) in enumerate(flowers["rows"]))
    assert (pets["name"], pets["classes"]) == ("user/pets test", ["cat", "dog"])
    assert [labels for labels, _ in pets["rows"]] == [[0], [1]]


def test_every_split_can_be_opened(results):
    data_sets, _ = results
    assert data_sets["train"]["name"] == "user/flowers train"
    assert [labels for labels, _ in data_sets["train"]["rows"]] == [[1], [0], [1]]
    assert data_sets["splits"] == {"train": 3, "test": 2}
    assert data_sets["no split"] == "user/flowers: no split 'validation' (available: train, test)"


def test_a_missing_or_incomplete_data_set_is_an_error_of_one_line(results):
    data_sets, _ = results
    assert data_sets["missing"].startswith("user/nothing: no such file or folder, and not available from the hub (")
    assert data_sets["incomplete"] == "user/half: the hub's cache has 1 of 2 files of train: download it again"
    assert not any("\n" in data_sets[name] for name in ("missing", "incomplete"))


def test_a_data_set_without_images_is_an_error_that_names_its_columns(results):
    assert results[0]["no images"] == "user/texts: no column of images (it has title, stars)"


def test_one_of_several_columns_of_labels_is_chosen_by_its_name(results):
    data_sets, _ = results
    assert data_sets["two kinds of labels"]["classes"] == ["fine_label"]
    message = "user/paintings: several columns of labels (style, genre), and none is called labels or label: rename"
    assert data_sets["unclear labels"].startswith(message)


def test_labels_may_be_class_names_but_not_numbers_without_names(results):
    data_sets, _ = results
    birds, trees = data_sets["class names"], data_sets["several class names"]
    assert (birds["classes"], [labels for labels, _ in birds["rows"]]) == (["emu", "owl"], [[1], [0], []])
    assert (trees["classes"], [labels for labels, _ in trees["rows"]]) == (["fir", "oak"], [[1], [], [0]])
    assert (birds["is_multi_label"], trees["is_multi_label"]) == (False, True)
    assert data_sets["numbers"].startswith("user/numbers: the numbers in column label have no class names: rename")


def test_only_the_columns_of_images_and_labels_are_decoded(results):
    data_sets, _ = results
    assert [labels for labels, _ in data_sets["masks"]["rows"]] == [[0], [1]]


def test_the_validation_split_may_be_called_valid(results):
    data_sets, _ = results
    assert [labels for labels, _ in data_sets["valid"]["rows"]] == [[0]]


def test_a_path_is_not_a_hub_name(results):
    assert results[0]["not a name"] == "nothing: no such file or folder"


def test_a_column_of_lists_makes_a_multi_label_data_set(results):
    data_sets, _ = results
    scenes = data_sets["multi-label"]
    assert (scenes["classes"], scenes["is_multi_label"]) == (["sky", "sea"], True)
    assert [labels for labels, _ in scenes["rows"]] == [[1, 0], [], [0]]
    assert not data_sets["parquet"]["is_multi_label"]


@pytest.mark.slow
def test_the_hash_does_not_depend_on_the_location(results, homes):
    other_data_sets, _ = run_program(homes[1])
    for name in ("parquet", "train", "folders"):
        assert other_data_sets[name]["sha256"] == results[0][name]["sha256"]
    assert other_data_sets["parquet"]["sha256"] != other_data_sets["train"]["sha256"]
