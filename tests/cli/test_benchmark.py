"""`levit benchmark`."""

import json

import pytest

OPTIONS = ["--batch-sizes", "1,2", "--precisions", "fp32", "--rounds", "1", "--seconds", "0.05"]


@pytest.mark.slow
def test_the_tables_have_every_result_and_the_picture_is_written(console, model, tmp_path):
    result = console("benchmark", model, *OPTIONS, "--picture", tmp_path / "speed.png")
    assert (result.code, result.err) == (0, "")
    rows = [line.split() for line in result.out.splitlines() if line.startswith("fruit")]
    assert [row[:4] for row in rows] == [["fruit", "openvino,", "fp32", size] for size in ("1", "2")] + [rows[2][:4]]
    assert rows[2][-1] in ("MB", "unknown")
    assert (tmp_path / "speed.png").stat().st_size > 10_000


@pytest.mark.slow
def test_json_is_one_object(console, model):
    values = json.loads(console("benchmark", model, "-", *OPTIONS, "--json").out)
    assert [result["batch_size"] for result in values["results"]] == [1, 2] * 2
    assert values["results"][0]["model"] == "fruit"
    assert "293 classes" in values["results"][2]["model"]
    assert sorted(values["peaks"]) == ["fp32", "int8"]


def test_invalid_usage_is_one_line(console, model):
    result = console("benchmark", model, "--batch-sizes", "1;16")
    assert (result.code, result.out) == (2, "")
    assert "--batch-sizes 1;16" in result.err
    result = console("benchmark", model, "--engines", "openvino,openvino")
    assert (result.code, result.out) == (2, "")
    assert result.err == "levit: --engines has a value twice: give each value once\n"
    result = console("benchmark", "missing.onnx")
    assert (result.code, result.out) == (2, "")
    assert result.err == "levit: missing.onnx: no such file\n"


def test_a_picture_that_cannot_be_written_is_refused_before_the_measurement(console, model, tmp_path):
    for name, message in (("x.xyz", "give a name that ends in .png, .svg, .pdf"), ("no/x.png", "there is no folder")):
        result = console("benchmark", model, *OPTIONS, "--picture", tmp_path / name)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_models_of_the_same_name_are_shown_by_their_paths(console, model, tmp_path):
    for name in ("one.onnx", "two.onnx"):
        assert console("export", model, tmp_path / name).code == 0
    values = json.loads(console("benchmark", tmp_path / "one.onnx", tmp_path / "two.onnx", *OPTIONS, "--json").out)
    assert {result["model"] for result in values["results"]} == {
        str(tmp_path / "one.onnx"),
        str(tmp_path / "two.onnx"),
    }
