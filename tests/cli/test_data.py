"""`levit data` prints a table or JSON for each split, and draws the contact sheet."""

import json
import re
from types import SimpleNamespace

import pytest
from PIL import Image

from levit.cli import json_output
from levit.cli.data import _class_sizes
from tests.conftest import EXAMPLES
from tests.marks import needs_links


@pytest.fixture
def pets(tmp_path):
    for name, color in (("train/cat/1.png", "red"), ("train/dog/2.png", "blue"), ("val/cat/3.png", "red")):
        file = tmp_path / "pets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), color).save(file)
    return tmp_path / "pets"


def test_the_table_shows_every_split_and_the_contact_sheet_is_drawn(console, pets, tmp_path):
    result = console("data", pets, "--contact-sheet", tmp_path / "sheet.png")
    assert (result.code, result.err) == (0, "")
    assert "2, of 1 images each" in result.out
    assert "1, 0 without a label, 0 unreadable, 1 duplicates" in result.out
    assert "3.png is a copy of train: cat/1.png" in result.out
    assert (tmp_path / "sheet.png").stat().st_size > 100


@pytest.mark.parametrize(
    ("count", "expected"), [(3, "3: class2 3, class1 2, class0 1"), (21, "21, of 1 (class0) to 21 images (class20)")]
)
def test_the_images_of_each_class_are_counted(count, expected):
    images_per_class = [*range(1, count + 1)]
    summary = SimpleNamespace(classes=[f"class{index}" for index in range(count)], images_per_class=images_per_class)
    assert _class_sizes(summary) == expected


def test_a_contact_sheet_in_place_of_an_image_is_refused(console, pets):
    photo = (pets / "train" / "cat" / "1.png").read_bytes()
    result = console("data", pets, "--contact-sheet", pets / "train" / "cat" / "1.png")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert "1.png is one of the images: give another name to the contact sheet" in result.err
    assert (pets / "train" / "cat" / "1.png").read_bytes() == photo


def test_json_is_a_list_of_splits(console, pets):
    (pets / "train" / "cat" / "bad.jpg").write_text("not an image")
    result = console("data", pets, "--json")
    assert (result.code, result.err) == (1, "")
    train, validation = json.loads(result.out)
    assert (train["split"], train["images"], train["bad"]) == ("train", 3, 1)
    assert train["classes"] == {"cat": 2, "dog": 1}
    reason = "not an image of a supported format"
    assert train["bad_examples"] == [{"name": "cat/bad.jpg", "reason": reason}]
    assert (validation["split"], validation["images"], validation["bad"]) == ("validation", 1, 0)
    assert validation["duplicate_examples"] == [{"name": "cat/3.png", "first": "train: cat/1.png"}]


def test_json_is_readable_in_any_output_encoding(console, pets, monkeypatch):
    (pets / "train" / "cat").rename(pets / "train" / "größe 🐈")
    monkeypatch.setattr(json_output, "_is_utf8", lambda: False)
    result = console("data", pets, "--split", "train", "--json")
    assert result.out.isascii()
    assert json.loads(result.out)[0]["classes"] == {"dog": 1, "größe 🐈": 1}


@needs_links
def test_a_cyclic_link_is_named_and_the_other_images_are_read(console, pets):
    images = console("data", pets, "--split", "train", "--json").out
    (pets / "train" / "cat" / "again").symlink_to(".")
    result = console("data", pets, "--split", "train", "--json")
    assert (result.code, result.out) == (0, images)
    assert re.search(r"train: not read: 1 links to a folder that contains them \(cat/again\)", result.err)


def test_one_split_can_be_selected(console, pets):
    result = console("data", pets, "--split", "val", "--json")
    assert [summary["split"] for summary in json.loads(result.out)] == ["val"]
    result = console("data", pets, "--split", "test")
    assert (result.code, result.out) == (2, "")
    assert result.err.endswith("no split 'test' (available: train, val)\n")


def test_a_line_says_which_folders_are_which_splits(console, pets):
    (pets / "train").rename(pets / "Train")
    (pets / "val").rename(pets / "dev")
    (pets / "extra").mkdir()
    result = console("data", pets)
    assert (result.code, result.err) == (0, "")
    line = next(line for line in result.out.splitlines() if line.startswith("folders"))
    assert line.split(maxsplit=1)[1].strip() == "Train/ is train, dev/ is validation; other folders: extra/"
    summaries = json.loads(console("data", pets, "--json").out)
    assert [(summary["split"], summary["images"]) for summary in summaries] == [("train", 2), ("validation", 1)]


def test_near_duplicates_are_found_on_request(console, tmp_path):
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    for name in ("cat", "espresso", "rocket"):
        (tmp_path / "pets" / "cat" / f"{name}.jpg").write_bytes((EXAMPLES / f"{name}.jpg").read_bytes())
    with Image.open(EXAMPLES / "cat.jpg") as photo:
        photo.resize((photo.width // 2, photo.height // 2)).save(tmp_path / "pets" / "cat" / "small.jpg")
    result = console("data", tmp_path / "pets", "--similar")
    assert (result.code, result.err) == (0, "")
    line = next(line for line in result.out.splitlines() if line.startswith("near-duplicates"))
    assert re.search(r"cat/small\.jpg is like cat/cat\.jpg \((0\.9[89]\d|1\.000)\)$", line.rstrip())
    result = console("data", tmp_path / "pets", "--similarity", "0.9")
    assert (result.code, result.err) == (2, "levit: --similarity needs --similar\n")


def test_an_invalid_similarity_is_refused_before_images_are_read(console, pets, monkeypatch):
    monkeypatch.setattr(
        "levit.evaluation.inspect_data.inspect_splits", lambda *_, **__: pytest.fail("images were read")
    )
    result = console("data", pets, "--similar", "--similarity", "2")
    assert (result.code, result.err) == (2, "levit: --similarity is 2.0: give a number above 0, and at most 1\n")


def test_classes_of_the_same_name_are_counted_separately(console, tmp_path):
    (tmp_path / "classes.txt").write_text("crane\ncrane\n")
    for number in range(3):
        Image.new("L", (8, 8 + number)).save(tmp_path / f"{number}.png")
    (tmp_path / "val.txt").write_text("0.png 0\n1.png 1\n2.png 1\n")
    (summary,) = json.loads(console("data", tmp_path / "val.txt", "--json").out)
    assert summary["classes"] == {"crane": 1, "crane (2)": 2}
