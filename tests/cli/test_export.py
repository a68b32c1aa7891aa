import json
import os
from pathlib import Path

import onnx
import pytest

from tests.cli.console import start
from tests.runtime.small_model import LABELS


def below(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*"))


def test_what_is_exported_is_what_predict_takes(console, model, photos, tmp_path):
    written = console("export", model, tmp_path / "fruit.onnx")
    assert (written.code, written.err) == (0, "")
    assert f"levit predict PHOTO --model {tmp_path / 'fruit.onnx'}" in " ".join(written.out.split())
    from_export, from_checkpoint = (
        console("predict", "a.png", "--model", source, "--json") for source in (tmp_path / "fruit.onnx", model)
    )
    assert from_export.code == 0
    labels = [json.loads(answer.out)["labels"] for answer in (from_export, from_checkpoint)]
    assert [label["name"] for label in labels[0]] == [label["name"] for label in labels[1]]
    assert [label["score"] for label in labels[0]] == pytest.approx([label["score"] for label in labels[1]], rel=1e-4)
    onnx.checker.check_model(onnx.load(tmp_path / "fruit.onnx"), full_check=True)


def test_json_reports_what_was_written(console, model, tmp_path):
    report = json.loads(console("export", model, tmp_path / "fruit.onnx", "--json").out)
    assert report.pop("max_difference") < 1e-4
    size = (tmp_path / "fruit.onnx").stat().st_size
    assert report == {
        "path": str(tmp_path / "fruit.onnx"),
        "bytes": size,
        "precision": "fp32",
        "accuracy": None,
        "quantization": None,
    }


def test_half_precision_makes_a_smaller_file(console, model, tmp_path):
    sizes = {
        precision: json.loads(
            console("export", model, tmp_path / f"{precision}.onnx", "--precision", precision, "--json").out
        )["bytes"]
        for precision in ("fp32", "fp16")
    }
    assert sizes["fp16"] < 0.8 * sizes["fp32"]
    assert json.loads(console("info", tmp_path / "fp16.onnx", "--json").out)["precision"] == "fp16"


def test_an_existing_file_is_replaced(console, model, tmp_path):
    (tmp_path / "fruit.onnx").write_text("old")
    assert console("export", model, tmp_path / "fruit.onnx").code == 0
    assert json.loads(console("info", tmp_path / "fruit.onnx", "--json").out)["labels"] == list(LABELS)
    assert below(tmp_path) == ["fruit.onnx"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("fruit.bin", "give a file name that ends in .onnx"),
        ("fruit", "give a file name that ends in .onnx"),
        ("missing/fruit.onnx", "cannot be written (No such file or directory)"),
        ("folder.onnx", "cannot be replaced (Is a directory)"),
    ],
)
def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing_behind(console, model, tmp_path, target, reason):
    (tmp_path / "folder.onnx").mkdir()
    before = below(tmp_path)
    answer = console("export", model, tmp_path / target)
    assert (answer.code, answer.out, answer.err) == (2, "", f"levit: {tmp_path / target}: {reason}\n")
    assert below(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_one_line(console, model, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    answer = console("export", model, tmp_path / "closed" / "fruit.onnx")
    assert answer.code == 2
    assert answer.err == f"levit: {tmp_path / 'closed' / 'fruit.onnx'}: cannot be written (Permission denied)\n"


def test_a_checkpoint_that_is_not_there_is_one_line_and_leaves_nothing_behind(console, tmp_path):
    answer = console("export", tmp_path / "missing", tmp_path / "fruit.onnx")
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert answer.err.startswith(f"levit: {tmp_path / 'missing'}: no such file or folder")
    assert below(tmp_path) == []


def test_an_unknown_precision_is_wrong_usage(console, model, tmp_path):
    answer = console("export", model, tmp_path / "fruit.onnx", "--precision", "fp8")
    assert (answer.code, answer.out) == (2, "")
    assert "--precision" in answer.err
    assert below(tmp_path) == []


def test_a_process_of_its_own_writes_the_same_file(console, model, tmp_path):
    console("export", model, tmp_path / "here.onnx")
    found = start("export", model, tmp_path / "there.onnx", "--json")
    assert (found.returncode, found.stderr) == (0, b"")
    assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()
