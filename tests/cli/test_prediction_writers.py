"""Predictions as JSON lines and CSV."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from levit.cli.prediction_writers import CsvWriter, JsonWriter
from levit.errors import ImageError
from tests.cli.predictions import CONTROLS, MISSING, failed, predicted
from tests.conftest import ROOT


def test_json_lines_are_flushed_and_not_escaped(capsys):
    writer = JsonWriter(1)
    writer.write(predicted("größe.jpg", cat=0.75, dog=0.25))
    record = json.loads(line := capsys.readouterr().out)
    assert record == {
        "file": "größe.jpg",
        "labels": [{"name": "cat", "index": 0, "score": pytest.approx(0.75)}],
        "error": None,
    }
    assert line.startswith('{"file": "größe.jpg", "labels": [{"name": "cat", "index": 0, "score": 0.75')
    writer.write(failed(MISSING))
    assert json.loads(capsys.readouterr().out) == {"file": "b.jpg", "labels": [], "error": str(MISSING)}
    writer.close()
    assert capsys.readouterr().out == ""


def test_csv_fields_are_quoted(capsys):
    writer = CsvWriter(2)
    writer.write(predicted("a, b.jpg", **{"fox, red": 0.25, "cat": 0.75}))
    writer.write(failed(ImageError("no such file", source='say "no".jpg')))
    writer.close()
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["file", "rank", "name", "index", "score", "error"],
        ["a, b.jpg", "1", "cat", "1", "0.750000", ""],
        ["a, b.jpg", "2", "fox, red", "0", "0.250000", ""],
        ['say "no".jpg', "", "", "", "", 'say "no".jpg: no such file'],
    ]


def test_unknown_is_the_first_label(capsys):
    prediction = predicted("a.jpg", threshold=0.9, cat=0.75, dog=0.25)
    JsonWriter(2).write(prediction)
    labels = json.loads(capsys.readouterr().out)["labels"]
    assert [(label["name"], label["index"]) for label in labels] == [("unknown", -1), ("cat", 0)]
    CsvWriter(1).write(prediction)
    assert capsys.readouterr().out.splitlines()[1] == "a.jpg,1,unknown,-1,0.750000,"


def test_control_characters_in_json_are_escaped_without_loss(capsys):
    JsonWriter(1).write(predicted(CONTROLS, **{CONTROLS: 1}))
    out = capsys.readouterr().out
    assert out.rstrip("\n").isprintable()
    assert json.loads(out)["file"] == json.loads(out)["labels"][0]["name"] == CONTROLS


def test_csv_contains_names_as_they_are_except_on_a_terminal(capsys, monkeypatch):
    CsvWriter(1).write(predicted("a\x1b.jpg", cat=1))
    assert "\na\x1b.jpg,1,cat," in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    CsvWriter(1).write(predicted("a\x1b.jpg", cat=1))
    assert "\na\\x1b.jpg,1,cat," in capsys.readouterr().out


def test_json_is_valid_in_an_ascii_encoding():
    command = (
        "from levit.cli.prediction_writers import JsonWriter; from tests.cli.predictions import predicted; "
        "JsonWriter(1).write(predicted('é😀.jpg', cat=1))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:backslashreplace"}
    process = [sys.executable, "-c", command]
    out = subprocess.run(process, env=environment, capture_output=True, check=True, cwd=ROOT).stdout
    assert json.loads(out)["file"] == "é😀.jpg"
