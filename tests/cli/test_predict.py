"""The command `levit predict`."""

import csv
import io
import json
import os
from pathlib import Path

import pytest

from levit.runtime.classifier import Classifier
from tests.marks import needs_links
from tests.runtime.small_model import LABELS


def records(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_json_is_one_object_per_line_with_these_keys(console, model, photos):
    result = console("predict", "b.jpg", "--model", model, "--json")
    (record,) = records(result.out)
    assert list(record) == ["file", "labels", "error"]
    assert record["file"] == "b.jpg"
    assert record["error"] is None
    assert len(record["labels"]) == 5
    assert all(list(label) == ["name", "index", "score"] for label in record["labels"])
    assert (result.code, result.err) == (0, "")


def test_the_labels_are_those_of_the_classifier(console, model, photos):
    expected = Classifier(model)("a.png").top(2)
    (record,) = records(console("predict", "a.png", "--model", model, "--json", "--top-k", 2).out)
    assert [label["name"] for label in record["labels"]] == [label.name for label in expected]
    assert [label["index"] for label in record["labels"]] == [label.index for label in expected]
    assert [label["score"] for label in record["labels"]] == pytest.approx([label.score for label in expected])


def test_csv_has_one_line_per_label(console, model, photos):
    result = console("predict", "a.png", "missing.jpg", "--model", model, "--csv", "--top-k", 2)
    header, first, second, failed = csv.reader(io.StringIO(result.out))
    assert header == ["file", "rank", "name", "index", "score", "error"]
    assert first[:2] == ["a.png", "1"]
    assert second[:2] == ["a.png", "2"]
    assert LABELS[int(first[3])] == first[2]
    assert 1 > float(first[4]) > float(second[4]) > 0
    assert failed == ["missing.jpg", "", "", "", "", "missing.jpg: no such file"]


def test_the_table_shows_each_image_with_its_best_labels(console, model, photos):
    best, second = Classifier(model)("a.png").top(2)
    result = console("predict", "a.png", "missing.jpg", "--model", model, "--top-k", 2)
    lines = [line.split() for line in result.out.splitlines() if line.strip()]
    assert lines[0] == ["image", "label", "score"]
    assert lines[1][:4] == ["a.png", best.name, f"{100 * best.score:.1f}", "%"]
    assert lines[2][:3] == [second.name, f"{100 * second.score:.1f}", "%"]
    assert lines[3] == ["missing.jpg", "no", "such", "file"]
    assert (result.code, result.err) == (1, "")


def test_more_labels_than_classes_are_all_classes(console, model, photos):
    (record,) = records(console("predict", "a.png", "--model", model, "--json", "--top-k", 99).out)
    assert sorted(label["name"] for label in record["labels"]) == sorted(LABELS)


def test_bad_images_are_reported_in_order_and_the_exit_code_is_one(console, model, photos):
    names = ["missing.jpg", "a.png", "notes.txt", "b.jpg", "https://example.com/a.jpg"]
    result = console("predict", *names, "--model", model, "--json", "--batch-size", 2)
    lines = records(result.out)
    assert [record["file"] for record in lines] == names
    assert [bool(record["labels"]) for record in lines] == [False, True, False, True, False]
    for record in lines[::2]:
        assert record["error"].startswith(f"{record['file']}: ")
    assert (result.code, result.err) == (1, "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_in_a_folder_is_an_error_and_the_other_images_are_classified(console, model, photos):
    os.mkfifo(photos / "deep" / "pipe.jpg")
    result = console("predict", "deep", "--model", model, "--json")
    first, second = records(result.out)
    assert first["error"] == "deep/pipe.jpg: a pipe, a socket or a device, not a regular file"
    assert (second["file"], second["error"]) == ("deep/er/c.png", None)
    assert (result.code, result.err) == (1, "")


def test_folders_and_patterns_are_searched_and_empty_ones_reported_in_order(console, model, photos):
    (photos / "empty").mkdir()
    result = console("predict", "empty", "*.jpg", "no*", ".", "empty", "--model", model, "--json", "--batch-size", 1)
    lines = records(result.out)
    assert [record["file"] for record in lines] == [
        "empty",
        "b.jpg",
        "notes.txt",
        "./a.png",
        "./b.jpg",
        "./deep/er/c.png",
        "empty",
    ]
    assert lines[0]["error"] == "empty: no images in this folder"
    assert lines[0]["labels"] == []
    assert result.code == 1


def test_missing_images_are_reported_without_any_prediction(console, model, photos):
    (photos / "empty").mkdir()
    result = console("predict", "empty", "*.webp", "--model", model, "--csv")
    assert result.out.splitlines()[1:] == [
        "empty,,,,,empty: no images in this folder",
        "*.webp,,,,,*.webp: no file matches this pattern",
    ]
    assert result.code == 1


def test_files_are_listed_on_standard_input(console, model, photos, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("b.jpg\n\ndeep/er/c.png\r\n"))
    result = console("predict", "a.png", "-", "--model", model, "--json", "--threads", 1)
    assert [record["file"] for record in records(result.out)] == ["a.png", "b.jpg", "deep/er/c.png"]
    assert result.code == 0


def test_names_are_printed_as_given(console, model, photos):
    (photos / "große [1].png").write_bytes((photos / "a.png").read_bytes())
    names = ["./a.png", "deep/../b.jpg", "große [1].png", str(photos / "a.png")]
    for style in ("--json", "--csv"):
        result = console("predict", *names, "--model", model, style, "--top-k", 1)
        assert result.code == 0
        assert all(name in result.out for name in names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "missing argument"),
        (["a.png", "--json", "--csv"], "--json and --csv exclude each other: give one of them"),
        (["a.png", "--top-k", "0"], "--top-k"),
        (["a.png", "--top-k", "many"], "--top-k"),
        (["a.png", "--batch-size", "0"], "--batch-size"),
        (["a.png", "--threads", "0"], "--threads"),
        (["a.png", "--speed", "9"], "--speed"),
        (["a.png", "--copy-below", "0.5"], "--link and --copy-below need --sort-into DIR: add it"),
        (["deep", "--sort-into", "deep/sorted"], "deep/sorted is inside deep, which is searched for images"),
        (["a.png", "--gallery", "missing/page.html"], "missing/page.html: its folder does not exist"),
        (["--gallery", "a.png", "b.jpg"], "a.png cannot be written as a page: give a name that ends in .html"),
    ],
    ids=str,
)
def test_wrong_usage_is_reported_on_standard_error_and_the_exit_code_is_two(console, photos, arguments, message):
    result = console("predict", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("facebook/levit-128S", "no such file or folder"),
        ("missing.onnx", "no such file"),
        (".", "no model.safetensors or pytorch_model.bin in this folder"),
        ("notes.txt", "unknown type of file: give a .safetensors file"),
    ],
)
def test_an_unknown_model_is_an_error_of_one_line_and_the_exit_code_is_two(console, photos, name, reason):
    result = console("predict", "a.png", "--model", name)
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith(f"levit: {name}: {reason}")


def test_verbose_prints_the_engine_on_standard_error(console, model, photos):
    quiet = console("predict", "a.png", "--model", model, "--json")
    verbose = console("predict", "a.png", "--model", model, "--json", "--verbose", "--precision", "fp32")
    assert quiet.err == ""
    assert verbose.err == "levit: fruit: openvino, fp32 (fp32, as requested)\n"


def test_every_engine_gives_the_same_labels(console, model, photos):
    labels = []
    for engine in ("openvino", "onnxruntime", "torch"):
        result = console("predict", "a.png", "--model", model, "--engine", engine, "--precision", "fp32", "--json")
        (record,) = records(result.out)
        labels.append([label["index"] for label in record["labels"]])
    assert labels[0] == labels[1] == labels[2]


def test_exact_preprocessing_is_that_of_pillow(console, model, photos):
    expected = Classifier(model, preprocessing="exact")("a.png").top(1)[0]
    (record,) = records(console("predict", "a.png", "--model", model, "--preprocessing", "exact", "--json").out)
    assert record["labels"][0]["score"] == pytest.approx(expected.score)


def test_an_engine_of_another_kind_is_an_error_of_one_line(console, photos):
    result = console("predict", "a.png", "--engine", "torch")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "levit: engine torch opens checkpoints, and the embedded model is an exported file: use another engine\n"
    )


def test_an_error_names_the_flag_of_a_parameter(console, photos):
    result = console("predict", "a.png", "--provider", "cuda", "--engine", "openvino")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "levit: --provider is an option of onnxruntime, not of openvino: leave it out, or change the engine\n"
    )


def test_images_are_sorted_into_folders_of_their_labels(console, model, photos, tmp_path):
    result = console("predict", ".", "missing.jpg", "-m", model, "-k", 1, "--json", "--sort-into", tmp_path / "out")
    expected = {
        f"{record['labels'][0]['name']}/{Path(record['file']).name}"
        for record in records(result.out)
        if record["error"] is None
    }
    copies = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert copies == expected
    assert len(copies) == 3
    assert "levit: 1 file skipped: 1 .txt\n" in result.err
    assert f"levit: {tmp_path / 'out'}: 3 files: " in result.err
    assert result.code == 1


@needs_links
def test_only_unsure_predictions_are_copied(console, model, photos, tmp_path):
    score = Classifier(model)("a.png").top(1)[0].score
    for below, count in ((score - 0.01, 0), (score + 0.01, 1)):
        options = ("--sort-into", tmp_path / str(count), "--copy-below", below, "--link")
        assert console("predict", "a.png", "-m", model, *options).code == 0
        assert len(list((tmp_path / str(count)).rglob("a.png"))) == count


def test_a_gallery_is_written(console, model, photos):
    result = console("predict", "a.png", "b.jpg", "missing.jpg", "-m", model, "--gallery", "gallery.html")
    assert "levit: gallery.html: 3 images\n" in result.err
    assert Path("gallery.html").read_text(encoding="utf-8").count("<figure") == 3


@pytest.mark.parametrize("page", ["a.png", "photo.html"])
def test_a_gallery_in_place_of_a_photo_is_refused_before_the_model_is_opened(console, photos, page):
    photo = (photos / "a.png").read_bytes()
    (photos / "photo.html").write_bytes(photo)
    result = console("predict", "--gallery", page, "photo.html", "b.jpg", "--model", "missing.onnx")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"levit: {page} ")
    assert (photos / page).read_bytes() == photo


def test_a_larger_limit_of_pixels_is_accepted(console, model, photos):
    result = console("predict", "a.png", "-m", model, "--max-pixels", 100, "--json")
    (record,) = records(result.out)
    assert record["error"].endswith("make it smaller, or raise --max-pixels")
    assert console("predict", "a.png", "-m", model, "--max-pixels", 2000, "--json").code == 0
