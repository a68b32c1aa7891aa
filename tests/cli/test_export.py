"""The command `levit export`."""

import errno
import json
import os
from pathlib import Path

import onnx
import pytest

from tests.cli.console import start
from tests.marks import needs_permissions
from tests.runtime.small_model import LABELS

# What the system says to the replacement of a folder by a file.
IS_FOLDER = "Access is denied" if os.name == "nt" else os.strerror(errno.EISDIR)


def below(folder: Path) -> list[str]:
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*"))


def test_an_exported_file_has_the_predictions_of_its_checkpoint(console, model, photos, tmp_path):
    written = console("export", model, tmp_path / "fruit.onnx")
    assert (written.code, written.err) == (0, "")
    assert f"levit predict PHOTO --model {tmp_path / 'fruit.onnx'}" in " ".join(written.out.split())
    from_export, from_checkpoint = (
        console("predict", "a.png", "--model", source, "--json") for source in (tmp_path / "fruit.onnx", model)
    )
    assert from_export.code == 0
    labels = [json.loads(result.out)["labels"] for result in (from_export, from_checkpoint)]
    assert [label["name"] for label in labels[0]] == [label["name"] for label in labels[1]]
    assert [label["score"] for label in labels[0]] == pytest.approx([label["score"] for label in labels[1]], rel=1e-4)
    onnx.checker.check_model(onnx.load(tmp_path / "fruit.onnx"), full_check=True)


def test_json_contains_the_report(console, model, tmp_path):
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


def test_fp16_weights_make_a_smaller_file(console, model, tmp_path):
    sizes = {
        precision: json.loads(
            console("export", model, tmp_path / f"{precision}.onnx", "--weights", precision, "--json").out
        )["bytes"]
        for precision in ("fp32", "fp16")
    }
    assert sizes["fp16"] < 0.8 * sizes["fp32"]
    assert json.loads(console("info", tmp_path / "fp16.onnx", "--json").out)["precision"] == "fp16"


def test_a_path_with_a_space_is_quoted_in_the_next_command(console, model, tmp_path):
    written = console("export", model, tmp_path / "my fruit.onnx")
    assert f"levit predict PHOTO --model '{tmp_path / 'my fruit.onnx'}'" in " ".join(written.out.split())


def test_an_existing_file_is_replaced(console, model, tmp_path):
    (tmp_path / "fruit.onnx").write_text("old")
    assert console("export", model, tmp_path / "fruit.onnx").code == 0
    assert json.loads(console("info", tmp_path / "fruit.onnx", "--json").out)["labels"] == list(LABELS)
    assert below(tmp_path) == ["fruit.onnx"]


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("fruit.bin", ": give a file name that ends in .onnx or .xml"),
        ("fruit", ": give a file name that ends in .onnx or .xml"),
        ("missing/fruit.onnx", f" cannot be written ({os.strerror(errno.ENOENT)})"),
        ("folder.onnx", f" cannot be written ({IS_FOLDER})"),
    ],
)
def test_an_invalid_target_is_reported_in_one_line_and_nothing_is_written(console, model, tmp_path, target, reason):
    (tmp_path / "folder.onnx").mkdir()
    before = below(tmp_path)
    result = console("export", model, tmp_path / target)
    assert (result.code, result.out, result.err) == (2, "", f"levit: {tmp_path / target}{reason}\n")
    assert below(tmp_path) == before


@needs_permissions
def test_a_folder_without_permission_is_reported_in_one_line(console, model, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    target = tmp_path / "closed" / "fruit.onnx"
    result = console("export", model, target)
    assert result.code == 2
    assert result.err == f"levit: {target} cannot be written ({os.strerror(errno.EACCES)})\n"


def test_a_missing_checkpoint_is_reported_in_one_line_and_nothing_is_written(console, tmp_path):
    result = console("export", tmp_path / "missing", tmp_path / "fruit.onnx")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.startswith(f"levit: {tmp_path / 'missing'}: no such file, folder or known model name")
    assert below(tmp_path) == []


def test_an_unknown_type_of_weights_is_a_usage_error(console, model, tmp_path):
    result = console("export", model, tmp_path / "fruit.onnx", "--weights", "fp8")
    assert (result.code, result.out) == (2, "")
    assert "--weights" in result.err
    assert below(tmp_path) == []


def test_a_new_process_writes_the_same_file(console, model, tmp_path):
    console("export", model, tmp_path / "here.onnx")
    process = start("export", model, tmp_path / "there.onnx", "--json")
    assert (process.returncode, process.stderr) == (0, b"")
    assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()


def test_an_option_for_int8_is_named_by_its_flag(console, model, tmp_path):
    result = console("export", model, tmp_path / "fruit.onnx", "--quantization-data", tmp_path)
    assert result.code == 2
    assert result.err == (
        "levit: --quantization-data, --quantization-images, --evaluation, --max-drop and --class-map do not apply to "
        "weights in fp32: use --weights int8\n"
    )


@pytest.mark.parametrize(
    ("layout", "configuration"),
    [("triton", "fruit/config.pbtxt"), ("openvino-model-server", "config.json")],
)
def test_a_layout_is_the_folder_that_a_server_loads(console, model, photos, tmp_path, layout, configuration):
    folder = tmp_path / "fruit"
    result = console("export", model, folder, "--layout", layout, "--json")
    assert (result.code, result.err) == (0, "")
    assert below(folder) == sorted(["fruit", "fruit/1", "fruit/1/model.onnx", "fruit/labels.txt", configuration])
    report = json.loads(result.out)
    file = folder / "fruit" / "1" / "model.onnx"
    assert (report["path"], report["bytes"]) == (str(file), file.stat().st_size)
    predictions = [json.loads(console("predict", "a.png", "--model", name, "--json").out) for name in (file, model)]
    assert predictions[0]["labels"][0]["name"] == predictions[1]["labels"][0]["name"]


@pytest.mark.parametrize("layout", ["triton", "openvino-model-server"])
def test_a_layout_does_not_replace_a_folder(console, model, tmp_path, layout):
    (tmp_path / "fruit").mkdir()
    result = console("export", model, tmp_path / "fruit", "--layout", layout)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"levit: {tmp_path / 'fruit'}: exists already: give another folder, or delete it\n"
    assert below(tmp_path) == ["fruit"]


def test_a_layout_contains_an_onnx_file(console, model, tmp_path):
    result = console("export", model, tmp_path / "fruit", "--layout", "triton", "--format", "openvino")
    assert (result.code, result.out) == (2, "")
    assert result.err == "levit: --layout writes an ONNX file, which both servers load: leave out --format openvino\n"
    assert below(tmp_path) == []
    assert console("export", model, tmp_path / "fruit", "--layout", "triton", "--format", "onnx").code == 0


def test_an_unknown_layout_is_a_usage_error(console, model, tmp_path):
    result = console("export", model, tmp_path / "fruit", "--layout", "other")
    assert (result.code, result.out) == (2, "")
    assert "--layout" in result.err
    assert below(tmp_path) == []


@pytest.mark.parametrize(
    ("file_format", "written", "other"),
    [("onnx", ["fruit.onnx"], "fruit.xml"), ("openvino", ["fruit.bin", "fruit.xml"], "fruit.onnx")],
)
def test_a_format_must_be_that_of_the_suffix(console, model, tmp_path, file_format, written, other):
    assert console("export", model, tmp_path / written[-1], "--format", file_format).code == 0
    assert below(tmp_path) == written
    result = console("export", model, tmp_path / other, "--format", file_format)
    suffix = Path(written[-1]).suffix
    assert (result.code, result.out) == (2, "")
    assert result.err == f"levit: {tmp_path / other}: give a file name that ends in {suffix}\n"
    assert below(tmp_path) == written
