"""Predictions as a table: full names in a pipe, and lines that fit the terminal."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from levit.cli.prediction_table import TableWriter
from levit.errors import ImageError
from tests.cli.predictions import CONTROLS, MISSING, failed, predicted

LONG = {"great white shark": 0.75, "tiger shark, Galeocerdo cuvieri, a long name": 0.25}


def table(*predictions, top_k: int = 5, width: int | None = None) -> list[str]:
    """Lines of the table, without the spaces at their ends; `width` is that of a terminal, None a pipe."""
    stream = io.StringIO()
    console = Console(file=stream, highlight=False, width=width, force_terminal=width is not None, color_system=None)
    writer = TableWriter(top_k, console)
    for prediction in predictions:
        writer.write(prediction)
    writer.close()
    return stream.getvalue().splitlines()


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)


def words(lines: list[str]) -> list[list[str]]:
    return [line.split() for line in lines if line.strip()]


def test_scores_are_numbers_and_bars():
    assert words(table(predicted("a.jpg", cat=0.75, fox=0.1875, none=0.0625), width=80))[1:] == [
        ["a.jpg", "cat", "75.0", "%", "█" * 9],
        ["fox", "18.8", "%", "██▎"],
        ["none", "6.2", "%", "▊"],
    ]


def test_with_one_label_each_image_is_one_line():
    lines = table(predicted("a.jpg", cat=1), failed(MISSING), predicted("c.jpg", cat=1), top_k=1, width=80)
    assert [line.split()[0] for line in lines] == ["image", "a.jpg", "b.jpg", "c.jpg"]


def test_in_a_pipe_names_are_complete():
    name = "folder/" * 30 + "[bold]photo[/bold].jpg"
    header, line = table(predicted(name, **LONG), top_k=1)
    assert line.startswith(f"{name}  great white shark")
    assert header.index("label") == line.index("great") == len(name) + 2
    second = table(predicted("a.jpg", **LONG))[3]
    assert "tiger shark, Galeocerdo cuvieri, a long name  " in second


def test_names_of_windows_are_shortened_at_a_folder(monkeypatch):
    monkeypatch.setattr("levit.cli.prediction_table._SEPARATORS", "/\\")
    name = "C:\\Users\\a long name of a user\\Pictures\\IMG_20240102.jpg"
    assert table(predicted(name, **LONG), width=50)[2].startswith("…\\IMG_20240102.jpg ")
    assert table(predicted(name, cat=1), width=60)[2].startswith("…\\Pictures\\IMG_20240102.jpg ")


def test_in_a_terminal_names_are_shortened():
    name = "/data/2024/holiday/a rather long folder/IMG_20240102.jpg"
    lines = table(predicted(name, **LONG), top_k=2, width=60)
    assert lines[2].startswith("…/IMG_20240102.jpg ")
    assert "great white shark  " in lines[2]
    assert max(map(cell_len, lines)) <= 60


def test_forty_columns_are_enough_for_one_line_per_image():
    lines = table(predicted("photos/IMG_2041.jpg", **LONG), predicted("photos/b.jpg", **LONG), top_k=1, width=40)
    assert lines == [
        "image           label            score",
        "…/IMG_2041.jpg  great white sh…   75.0 %",
        "photos/b.jpg    great white sh…   75.0 %",
    ]
    assert max(map(cell_len, lines)) <= 40


def test_an_environment_with_columns_limits_a_pipe_too(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(cell_len, table(predicted("x" * 100, **LONG), top_k=1))) <= 40


def test_unknown_has_its_best_guess_beside_it():
    prediction = predicted("a.jpg", threshold=0.9, cat=0.75, dog=0.25)
    assert words(table(prediction, top_k=1, width=80))[1][:4] == ["a.jpg", "unknown", "(cat?)", "75.0"]
    assert [line[-3] for line in words(table(prediction, top_k=2, width=80))[2:]] == ["75.0"]


def test_errors_do_not_repeat_the_file_and_break_between_words():
    assert words(table(failed(MISSING)))[1] == ["b.jpg", *["no", "such", "file:", "check", "the", "path"]]
    message = "not an image of a supported format"
    lines = table(failed(ImageError(message, source="b.jpg")), top_k=1, width=40)
    assert max(map(cell_len, lines)) <= 40
    assert " ".join(" ".join(lines[1:]).split()) == f"b.jpg {message}"


def test_the_table_has_one_header_and_is_printed_in_sections():
    stream = io.StringIO()
    writer = TableWriter(1, Console(file=stream, highlight=False))
    for index in range(TableWriter.SECTION):
        assert stream.getvalue() == ""
        writer.write(predicted(f"{index}.jpg", cat=1))
    first = stream.getvalue().splitlines()
    assert first[0].split() == ["image", "label", "score"]
    assert len(first) == TableWriter.SECTION + 1
    writer.write(predicted("last.jpg", cat=1))
    writer.flush()
    last = stream.getvalue().splitlines()[-1]
    assert last.index("cat") == first[1].index("cat")
    writer.close()
    assert stream.getvalue().splitlines()[-1] == last


@given(
    files=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=4),
    label=st.text(min_size=1, max_size=60),
    width=st.integers(24, 120),
    top_k=st.integers(1, 2),
)
def test_lines_of_any_names_fit_the_terminal(files, label, width, top_k):
    predictions = [predicted(file, **{label: 0.75, f"{label}!": 0.25}) for file in files]
    assert max(map(cell_len, table(*predictions, top_k=top_k, width=width))) <= width


def test_control_characters_are_escaped():
    lines = table(predicted(CONTROLS, **{CONTROLS: 1}), failed(ImageError(CONTROLS, source="b.jpg")))
    assert "".join(lines).count("cat\\x1b[2J\\r\\n\\x9b1A\\u202egod") == 3
    assert all(line.isprintable() for line in lines)
