import json

import pytest

OPTIONS = ["--batch-sizes", "1,2", "--precisions", "fp32", "--rounds", "1", "--seconds", "0.05"]


@pytest.mark.slow
def test_the_table_has_everything(console, model, tmp_path):
    answer = console("benchmark", model, *OPTIONS, "--picture", tmp_path / "speed.png")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split() for line in answer.out.splitlines() if line.startswith("fruit")]
    assert [row[:4] for row in rows] == [["fruit", "openvino,", "fp32", size] for size in ("1", "2")] + [rows[2][:4]]
    assert rows[2][-1] in ("MB", "unknown")
    assert (tmp_path / "speed.png").stat().st_size > 10_000


def test_json_is_one_object(console, model):
    values = json.loads(console("benchmark", model, *OPTIONS, "--json").out)
    assert [one["batch_size"] for one in values["speeds"]] == [1, 2]
    assert list(values["peaks"]) == ["fp32"]


def test_wrong_usage_is_one_line(console, model):
    answer = console("benchmark", model, "--batch-sizes", "1;16")
    assert (answer.code, answer.out) == (2, "")
    assert "--batch-sizes 1;16" in answer.err
    answer = console("benchmark", "missing.onnx")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "levit: missing.onnx in auto, auto: missing.onnx: no such file\n"


def test_a_picture_that_cannot_be_is_refused_before_anything_is_measured(console, model, tmp_path):
    for name, message in (("x.xyz", "give a name that ends in .png, .svg, .pdf"), ("no/x.png", "there is no folder")):
        answer = console("benchmark", model, *OPTIONS, "--picture", tmp_path / name)
        assert (answer.code, answer.out) == (2, "")
        assert message in answer.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_models_of_one_name_are_told_apart(console, model, tmp_path):
    for name in ("one.onnx", "two.onnx"):
        assert console("export", model, tmp_path / name).code == 0
    values = json.loads(console("benchmark", tmp_path / "one.onnx", tmp_path / "two.onnx", *OPTIONS, "--json").out)
    assert {one["model"] for one in values["speeds"]} == {str(tmp_path / "one.onnx"), str(tmp_path / "two.onnx")}
