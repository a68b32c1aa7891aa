"""Predictions as JSON lines, CSV and a table."""

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from levit.cli.prediction_writers import PREDICTION_WRITERS, CsvWriter, JsonWriter, TableWriter
from levit.errors import ImageError
from levit.runtime.prediction import Label

CAT = Label("cat", 3, 0.75)
FOX = Label("fox, red", 1, 0.0625)
MISSING = ImageError("no such file", source="b.jpg", hint="check the path")


@pytest.fixture(autouse=True)
def _console_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


def test_every_format_has_a_writer():
    assert list(PREDICTION_WRITERS.values()) == [JsonWriter, CsvWriter, TableWriter]


def test_json_lines_are_flushed_and_not_escaped(capsys):
    writer = JsonWriter()
    writer.write("größe.jpg", [CAT], None)
    assert capsys.readouterr().out == (
        '{"file": "größe.jpg", "labels": [{"name": "cat", "index": 3, "score": 0.75}], "error": null}\n'
    )
    writer.write("b.jpg", [], MISSING)
    assert json.loads(capsys.readouterr().out) == {"file": "b.jpg", "labels": [], "error": str(MISSING)}
    writer.close()
    assert capsys.readouterr().out == ""


def test_csv_fields_are_quoted(capsys):
    writer = CsvWriter()
    writer.write("a, b.jpg", [CAT, FOX], None)
    writer.write('say "no".jpg', [], MISSING)
    writer.close()
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["file", "rank", "name", "index", "score", "error"],
        ["a, b.jpg", "1", "cat", "3", "0.750000", ""],
        ["a, b.jpg", "2", "fox, red", "1", "0.062500", ""],
        ['say "no".jpg', "", "", "", "", "b.jpg: no such file: check the path"],
    ]


def test_the_table_has_one_header_and_is_printed_in_sections(capsys):
    writer = TableWriter()
    for index in range(TableWriter.SECTION):
        assert capsys.readouterr().out == ""
        writer.write(f"{index}.jpg", [CAT], None)
    first = capsys.readouterr().out
    writer.write("last.jpg", [CAT], None)
    writer.close()
    second = capsys.readouterr().out
    assert first.split()[:3] == ["image", "label", "score"]
    assert first.count("cat") == TableWriter.SECTION
    assert second.split()[:2] == ["last.jpg", "cat"]
    assert first.splitlines()[2].index("cat") == second.splitlines()[0].index("cat")
    writer.close()
    assert capsys.readouterr().out == ""


def test_the_table_shows_scores_as_numbers_and_bars(capsys):
    writer = TableWriter()
    writer.write("a.jpg", [Label("all", 0, 1.0), CAT, FOX, Label("none", 2, 0.0)], None)
    writer.close()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:] if line.strip()]
    assert rows == [
        ["a.jpg", "all", "100.0", "%", "█" * 12],
        ["cat", "75.0", "%", "█" * 9],
        ["fox,", "red", "6.2", "%", "▊"],
        ["none", "0.0", "%"],
    ]


def test_the_table_shows_an_error_without_repeating_the_file(capsys):
    writer = TableWriter()
    writer.write("b.jpg", [], MISSING)
    writer.close()
    assert capsys.readouterr().out.split()[3:] == ["b.jpg", *["no", "such", "file:", "check", "the", "path"]]


def test_long_names_are_folded_completely(capsys):
    writer = TableWriter()
    name = "folder/" * 20 + "[bold]photo[/bold].jpg"
    writer.write(name, [CAT], None)
    writer.close()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    column = lines[0].index("label")
    assert "".join(line[:column].strip() for line in lines[1:]) == name


def test_the_score_of_a_long_label_is_on_its_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    writer = TableWriter()
    writer.write("a.jpg", [Label("Labrador retriever, a dog", 0, 0.75), CAT], None)
    writer.close()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["a.jpg", "Labrador", "75.0", "%", "█" * 9] in lines
    assert ["cat", "75.0", "%", "█" * 9] in lines


def test_control_characters_in_names_are_escaped(capsys):
    writer = TableWriter()
    writer.write("a\x1b[2J.jpg", [CAT], None)
    writer.close()
    assert "a\\x1b[2J.jpg" in capsys.readouterr().out


CONTROLS = "cat\x1b[2J\r\n\x9b1A\u202egod"


def test_control_characters_in_labels_and_errors_are_escaped(capsys):
    writer = TableWriter()
    writer.write("a.jpg", [Label(CONTROLS, 0, 0.5)], None)
    writer.write("b.jpg", [], ImageError(CONTROLS, source="b.jpg"))
    writer.close()
    out = capsys.readouterr().out
    assert out.replace(" ", "").replace("\n", "").count("cat\\x1b[2J\\r\\n\\x9b1A\\u202egod") == 2
    assert not set(out) & set(CONTROLS) - set("cat[2J\n1Agod")


def test_control_characters_in_json_are_escaped_without_loss(capsys):
    JsonWriter().write(CONTROLS, [Label(CONTROLS, 0, 0.5)], None)
    out = capsys.readouterr().out
    assert out.rstrip("\n").isprintable()
    assert json.loads(out)["file"] == json.loads(out)["labels"][0]["name"] == CONTROLS


def test_csv_contains_names_as_they_are_except_on_a_terminal(capsys, monkeypatch):
    CsvWriter().write("a\x1b.jpg", [], None)
    CsvWriter().write("a\x1b.jpg", [CAT], None)
    assert "\na\x1b.jpg,1,cat," in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    CsvWriter().write("a\x1b.jpg", [CAT], None)
    assert "\na\\x1b.jpg,1,cat," in capsys.readouterr().out


def test_json_is_valid_in_an_ascii_encoding():
    command = "from levit.cli.prediction_writers import JsonWriter; JsonWriter().write('é😀.jpg', [], None)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:backslashreplace"}
    out = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, check=True).stdout
    assert json.loads(out)["file"] == "é😀.jpg"
