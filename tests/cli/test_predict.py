import csv
import io
import json
import os
import sys
from pathlib import Path

import pytest

from levit.runtime.classifier import Classifier
from tests.cli.console import start
from tests.runtime.small_model import LABELS


def records(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_json_is_one_object_a_line_of_just_these_keys(console, model, photos):
    answer = console("predict", "b.jpg", "--model", model, "--json")
    (record,) = records(answer.out)
    assert list(record) == ["file", "labels", "error"]
    assert record["file"] == "b.jpg"
    assert record["error"] is None
    assert len(record["labels"]) == 5
    assert all(list(label) == ["name", "index", "score"] for label in record["labels"])
    assert (answer.code, answer.err) == (0, "")


def test_the_labels_are_those_of_the_classifier(console, model, photos):
    expected = Classifier(model)("a.png").top(2)
    (record,) = records(console("predict", "a.png", "--model", model, "--json", "--top-k", 2).out)
    assert [label["name"] for label in record["labels"]] == [label.name for label in expected]
    assert [label["index"] for label in record["labels"]] == [label.index for label in expected]
    assert [label["score"] for label in record["labels"]] == pytest.approx([label.score for label in expected])


def test_csv_has_a_line_for_each_label(console, model, photos):
    answer = console("predict", "a.png", "missing.jpg", "--model", model, "--csv", "--top-k", 2)
    header, first, second, failed = csv.reader(io.StringIO(answer.out))
    assert header == ["file", "rank", "name", "index", "score", "error"]
    assert first[:2] == ["a.png", "1"]
    assert second[:2] == ["a.png", "2"]
    assert LABELS[int(first[3])] == first[2]
    assert 1 > float(first[4]) > float(second[4]) > 0
    assert failed == ["missing.jpg", "", "", "", "", "missing.jpg: no such file"]


def test_the_table_shows_each_image_with_its_best_labels(console, model, photos):
    best, second = Classifier(model)("a.png").top(2)
    answer = console("predict", "a.png", "missing.jpg", "--model", model, "--top-k", 2)
    lines = [line.split() for line in answer.out.splitlines() if line.strip()]
    assert lines[0] == ["image", "label", "score"]
    assert lines[1][:4] == ["a.png", best.name, f"{100 * best.score:.1f}", "%"]
    assert lines[2][:3] == [second.name, f"{100 * second.score:.1f}", "%"]
    assert lines[3] == ["missing.jpg", "no", "such", "file"]
    assert (answer.code, answer.err) == (1, "")


def test_more_labels_than_there_are_classes_give_all_of_them(console, model, photos):
    (record,) = records(console("predict", "a.png", "--model", model, "--json", "--top-k", 99).out)
    assert sorted(label["name"] for label in record["labels"]) == sorted(LABELS)


def test_bad_images_are_reported_in_their_place_and_the_exit_code_is_one(console, model, photos):
    names = ["missing.jpg", "a.png", "notes.txt", "b.jpg", "https://example.com/a.jpg"]
    answer = console("predict", *names, "--model", model, "--json", "--batch-size", 2)
    found = records(answer.out)
    assert [record["file"] for record in found] == names
    assert [bool(record["labels"]) for record in found] == [False, True, False, True, False]
    for record in found[::2]:
        assert record["error"].startswith(f"{record['file']}: ")
    assert (answer.code, answer.err) == (1, "")


def test_folders_and_patterns_are_searched_and_what_is_empty_is_reported_in_its_place(console, model, photos):
    (photos / "empty").mkdir()
    answer = console("predict", "empty", "*.jpg", "no*", ".", "empty", "--model", model, "--json", "--batch-size", 1)
    found = records(answer.out)
    assert [record["file"] for record in found] == [
        "empty",
        "b.jpg",
        "notes.txt",
        "./a.png",
        "./b.jpg",
        "./deep/er/c.png",
        "empty",
    ]
    assert found[0]["error"] == "empty: no images in this folder"
    assert found[0]["labels"] == []
    assert answer.code == 1


def test_where_there_is_no_image_at_all_that_is_said(console, model, photos):
    (photos / "empty").mkdir()
    answer = console("predict", "empty", "*.webp", "--model", model, "--csv")
    assert answer.out.splitlines()[1:] == [
        "empty,,,,,empty: no images in this folder",
        "*.webp,,,,,*.webp: no file matches this pattern",
    ]
    assert answer.code == 1


def test_files_are_named_on_standard_input(console, model, photos, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("b.jpg\n\ndeep/er/c.png\r\n"))
    answer = console("predict", "a.png", "-", "--model", model, "--json", "--threads", 1)
    assert [record["file"] for record in records(answer.out)] == ["a.png", "b.jpg", "deep/er/c.png"]
    assert answer.code == 0


def test_names_are_printed_as_they_were_typed(console, model, photos):
    (photos / "große [1].png").write_bytes((photos / "a.png").read_bytes())
    names = ["./a.png", "deep/../b.jpg", "große [1].png", str(photos / "a.png")]
    for style in ("--json", "--csv"):
        answer = console("predict", *names, "--model", model, style, "--top-k", 1)
        assert answer.code == 0
        assert all(name in answer.out for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["a.png", "--json", "--csv"], "--json and --csv exclude each other: give one of them"),
        (["a.png", "--top-k", "0"], "--top-k"),
        (["a.png", "--top-k", "many"], "--top-k"),
        (["a.png", "--batch-size", "0"], "--batch-size"),
        (["a.png", "--threads", "0"], "--threads"),
        (["a.png", "--speed", "9"], "--speed"),
    ],
    ids=str,
)
def test_wrong_usage_is_explained_on_standard_error_and_the_exit_code_is_two(console, photos, arguments, message):
    answer = console("predict", *arguments)
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("facebook/levit-128S", "no such file or folder"),
        ("missing.onnx", "no such file"),
        (".", "no model.safetensors or pytorch_model.bin in this folder"),
        ("notes.txt", "give a .safetensors file"),
    ],
)
def test_an_unknown_model_is_one_line_and_the_exit_code_is_two(console, photos, name, reason):
    answer = console("predict", "a.png", "--model", name)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert answer.err.startswith(f"levit: {name}: {reason}")


def test_a_process_of_its_own_says_the_same(console, model, photos):
    found = start("predict", "a.png", "missing.jpg", "--model", model, "--csv", "--top-k", 2)
    expected = console("predict", "a.png", "missing.jpg", "--model", model, "--csv", "--top-k", 2)
    assert (found.returncode, found.stdout.decode(), found.stderr) == (expected.code, expected.out, b"")
    refused = start("predict", "a.png", "--model", "missing.onnx")
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, b"", b"levit: missing.onnx: no such file\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only here a file name may be any bytes")
@pytest.mark.parametrize(
    "style", ["--json", *(pytest.param(other, marks=pytest.mark.slow) for other in ("--csv", "--threads=1"))]
)
def test_a_file_name_in_another_encoding_is_answered(model, photos, style):
    name = os.fsdecode(b"caf\xe9.png")
    Path("a.png").rename(name)
    for arguments, stdin in ((["."], b""), (["-"], os.fsencode(name) + b"\n")):
        found = start("predict", *arguments, "--model", model, style, input=stdin)
        assert (found.returncode, found.stderr) == (0, b"")
        assert rb"caf\udce9.png" in found.stdout
        if style == "--json":  # where the escape means the very name
            assert os.path.basename(records(found.stdout.decode())[-1 if stdin else 1]["file"]) == name  # noqa: PTH119


@pytest.mark.skipif(os.name == "nt", reason="needs a pipe that tells its writer that it is closed")
@pytest.mark.parametrize("style", ["--json", "--csv", "--threads=1"])
def test_a_reader_that_leaves_early_ends_it_quietly(model, photos, style):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        found = start("predict", "a.png", "b.jpg", "--model", model, style, stdout=writer)
    finally:
        os.close(writer)
    assert found.stderr == b""


def test_it_says_what_computes_the_network_where_it_is_asked(console, model, photos):
    quiet = console("predict", "a.png", "--model", model, "--json")
    verbose = console("predict", "a.png", "--model", model, "--json", "--verbose", "--precision", "fp32")
    assert quiet.err == ""
    assert verbose.err == "levit: fruit: openvino, fp32 (fp32, as asked for)\n"


def test_every_engine_gives_the_same_answer(console, model, photos):
    answers = {
        engine: records(
            console("predict", "a.png", "--model", model, "--engine", engine, "--precision", "fp32", "--json").out
        )
        for engine in ("openvino", "onnxruntime", "torch")
    }
    first, *others = ([label["index"] for label in answer[0]["labels"]] for answer in answers.values())
    assert all(other == first for other in others)


def test_exact_preprocessing_is_that_of_pillow(console, model, photos):
    expected = Classifier(model, preprocessing="exact")("a.png").top(1)[0]
    (record,) = records(console("predict", "a.png", "--model", model, "--preprocessing", "exact", "--json").out)
    assert record["labels"][0]["score"] == pytest.approx(expected.score)


def test_a_wrong_engine_is_one_line(console, photos):
    answer = console("predict", "a.png", "--engine", "torch")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("levit: engine torch opens checkpoints, and ")
    assert answer.err.count("\n") == 1
