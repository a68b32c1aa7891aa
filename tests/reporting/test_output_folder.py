"""Output folder of an evaluation: complete or absent, replaced only if it is an earlier evaluation."""

import json
from pathlib import Path

import pytest

from levit.errors import DataError
from levit.reporting.output_folder import output_folder

METRICS = json.dumps(dict.fromkeys(["model", "engine", "precision", "data", "images", "images_per_second"]))


def write(folder: Path, *names: str) -> None:
    with output_folder(folder) as temporary:
        for name in names:
            (temporary / name).write_text(METRICS if name == "metrics.json" else f"new {name}")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_with_other_contents_is_not_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("photos", "file"):
        with pytest.raises(DataError, match=f"{name} has other contents"):
            write(tmp_path / name, "metrics.json")
    assert (tmp_path / "photos" / "a.txt").read_text() == (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("text", ["not JSON", "[]", '{"accuracy": 0.9, "model": "of another program"}'])
def test_a_folder_with_the_metrics_of_another_program_is_not_replaced(tmp_path, text):
    for name in ("metrics.json", "report.html", "confusion.csv"):
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="has other contents: give a new folder, or that of an earlier evaluation"):
        write(tmp_path, "metrics.json", "report.html")
    assert {(tmp_path / name).read_text() for name in ("metrics.json", "report.html", "confusion.csv")} == {text}


def test_existing_folders_links_and_the_current_folder_are_filled(tmp_path, monkeypatch):
    for name in ("empty", "linked", "current"):
        (tmp_path / name).mkdir()
    (tmp_path / "empty" / ".hidden").touch()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    monkeypatch.chdir(tmp_path / "current")
    for folder in (tmp_path / "empty", tmp_path / "link", Path()):
        write(folder, "metrics.json", "report.html")
        assert (folder / "metrics.json").is_file()
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "empty") == {".hidden", "metrics.json", "report.html"}


def test_an_earlier_evaluation_is_replaced_with_all_its_files(tmp_path):
    write(tmp_path / "out", "metrics.json", "per_label.csv", "report.html")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    write(tmp_path / "out", "metrics.json", "per_class.csv", "report.html")
    assert names(tmp_path / "out") == {"metrics.json", "per_class.csv", "report.html", "notes.txt"}


def test_a_failed_evaluation_leaves_the_earlier_one(tmp_path):
    write(tmp_path / "out", "metrics.json", "report.html")

    def fail() -> None:
        with output_folder(tmp_path / "out") as temporary:
            (temporary / "metrics.json").write_text("later")
            raise DataError("failed")

    with pytest.raises(DataError, match="failed"):
        fail()
    assert (tmp_path / "out" / "metrics.json").read_text() == METRICS
    assert names(tmp_path / "out") == {"metrics.json", "report.html"}
    assert names(tmp_path) == {"out"}


def test_a_folder_that_cannot_be_created_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="out cannot be written"):
        write(tmp_path / "file" / "out", "metrics.json")
