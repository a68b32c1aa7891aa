import json
import re

import pytest
from PIL import Image

from levit.cli import output


@pytest.fixture
def pets(tmp_path):
    for name, color in (("train/cat/1.png", "red"), ("train/dog/2.png", "blue"), ("val/cat/3.png", "red")):
        file = tmp_path / "pets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), color).save(file)
    return tmp_path / "pets"


def test_the_table_and_the_contact_sheet(console, pets, tmp_path):
    answer = console("data", pets, "--contact-sheet", tmp_path / "sheet.png")
    assert (answer.code, answer.err) == (0, "")
    assert "2, of 1 images each" in answer.out
    assert "3.png is train: cat/1.png" in answer.out
    assert (tmp_path / "sheet.png").stat().st_size > 100


def test_json_has_every_part(console, pets):
    (pets / "train" / "cat" / "bad.jpg").write_text("no image")
    answer = console("data", pets, "--json")
    assert (answer.code, answer.err) == (1, "")
    parts = json.loads(answer.out)
    assert [(one["split"], one["images"], one["bad"]) for one in parts] == [("train", 3, 1), ("validation", 1, 0)]
    assert parts[0]["classes"] == {"cat": 2, "dog": 1}


def test_json_can_be_read_whatever_the_encoding_of_the_output_is(console, pets, monkeypatch):
    (pets / "train" / "cat").rename(pets / "train" / "größe 🐈")
    monkeypatch.setattr(output, "_is_utf8", lambda: False)
    answer = console("data", pets, "--split", "train", "--json")
    assert answer.out.isascii()
    assert json.loads(answer.out)[0]["classes"] == {"dog": 1, "größe 🐈": 1}


def test_a_folder_that_leads_to_itself_is_named(console, pets):
    (pets / "train" / "cat" / "again").symlink_to(".")
    answer = console("data", pets)
    assert answer.code == 1
    assert re.fullmatch(r"levit: .*train.cat(.again)+: .*\n", answer.err)


def test_one_part_alone(console, pets):
    assert [one["split"] for one in json.loads(console("data", pets, "--split", "val", "--json").out)] == ["val"]
    answer = console("data", pets, "--split", "test")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.endswith("no split 'test' (there: train, val)\n")
