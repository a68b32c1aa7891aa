"""The command `levit info`."""

import json
import re
import shutil

import pytest

import levit
from levit.runtime.model_info import describe
from tests.cli.console import start
from tests.conftest import ROOT
from tests.runtime.small_model import LABELS

[SITE] = re.findall(r"^site_url: (.+)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
SPEED_PAGE = f"{SITE}speed/"


def fields(output: str) -> dict[str, str]:
    shown: dict[str, str] = {}
    for line in output.splitlines():
        name, _, value = line.partition(" ")
        if not name:  # continuation of the line above
            name, value = list(shown)[-1], f"{list(shown.values())[-1]} {value.strip()}"
        shown[name] = value.strip()
    return shown


def test_the_embedded_model_is_described(console):
    result = console("info")
    artifact, num_bytes = describe(None)
    shown = fields(result.out)
    assert shown["model"] == f"{artifact.source.name} ({artifact.source.dialect})"
    assert shown["classes"].startswith(f"{len(artifact.labels)}: {artifact.labels[0]}, ")
    assert shown["weights"] == f"{artifact.precision}, {num_bytes / 1e6:.1f} MB"
    assert shown["sha256"] == artifact.source.sha256
    assert (result.code, result.err) == (0, "")


def test_a_multi_label_model_is_marked(console, model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "several")
    config = json.loads((folder / "config.json").read_text()) | {"problem_type": "multi_label_classification"}
    (folder / "config.json").write_text(json.dumps(config))
    shown = fields(console("info", folder).out)["classes"]
    assert " ".join(shown.split()).endswith("fig, … (any number of them in an image)")
    assert json.loads(console("info", folder, "--json").out)["is_multi_label"]


def test_a_checkpoint_is_described(console, model):
    shown = fields(console("info", model).out)
    assert shown["model"] == "fruit (transformers)"
    assert shown["input"] == "3x32x32"
    assert shown["stages"] == "16 - 24 - 32 wide, [1, 1, 1] deep"
    assert shown["parameters"] == f"{levit.read_checkpoint(model).num_parameters:,}"
    assert shown["classes"] == "5: apple, pear, plum, fig, …"
    assert shown["accuracy"] == "not recorded"


def test_json_is_one_object_with_all_values(console, model):
    result = console("info", model, "--json")
    assert len(result.out.splitlines()) == 1
    shown = json.loads(result.out)
    checkpoint = levit.read_checkpoint(model)
    assert shown["labels"] == list(LABELS)
    assert shown["parameters"] == checkpoint.num_parameters
    assert shown["flops"] > 0
    assert shown["input"] == [3, 32, 32]
    assert shown["precision"] == "fp32"
    assert shown["bytes"] == (model / "model.safetensors").stat().st_size
    assert shown["source"] == {"name": "fruit", "dialect": "transformers", "sha256": checkpoint.source.sha256}
    assert shown["preprocessing"]["crop"] == [32, 32]
    assert shown["architecture"]["hidden_sizes"] == [16, 24, 32]
    assert shown["accuracy"] is None


def test_a_measured_accuracy_is_shown_with_its_data(console, model, tmp_path):
    from levit.exporting.artifact_files import record_accuracy
    from levit.spec.artifact import Accuracy

    file = tmp_path / "fruit.onnx"
    levit.export(model, file)
    record_accuracy(
        file,
        Accuracy(
            top1=0.415, top5=0.7025, images=10_000, data="bowl", sha256="0" * 64, engine="openvino", precision="bf16"
        ),
    )
    assert fields(console("info", file).out)["accuracy"] == (
        "41.50 % top-1 of 10,000 images of bowl (openvino, bf16)"  # top-5 of five classes is always 100 %
    )
    assert json.loads(console("info", file, "--json").out)["accuracy"]["top5"] == 0.7025


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.onnx", "no such file"),
        ("missing", "no such file, folder or known model name: see `levit models`"),
        ("text.onnx", "not an ONNX file"),
    ],
)
def test_another_file_is_an_error_of_one_line_and_the_exit_code_is_two(console, tmp_path, monkeypatch, name, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.onnx").write_text("this is no model")
    result = console("info", name)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"levit: {name}: {reason}")
    assert result.err.count("\n") == 1


def test_a_separate_process_prints_the_same(console, model):
    process = start("info", model)
    assert (process.returncode, process.stderr) == (0, b"")
    assert fields(process.stdout.decode()) == fields(console("info", model).out)


@pytest.fixture
def use_instructions(monkeypatch):
    """Function that lets the native engine have an instruction set."""

    def use(instruction_set: str) -> None:
        for module in ("fastest_engine", "native_library"):
            monkeypatch.setattr(f"levit.runtime.{module}.chosen_instruction_set", lambda: instruction_set)

    return use


@pytest.mark.parametrize(
    ("is_exact", "sentence"),
    [
        (True, "; this processor sums int8 exactly, with VNNI; "),
        (False, f"; this processor has no VNNI: int8 sums saturate, and some predictions differ, see {SPEED_PAGE}; "),
        (None, "; "),
    ],
)
def test_the_effect_of_the_processor_on_int8_is_stated(
    console, model, monkeypatch, use_instructions, is_exact, sentence
):
    monkeypatch.setattr("levit.runtime.model_info.has_exact_int8", lambda: is_exact)
    use_instructions("portable")
    stated = " ".join(fields(console("info").out)["runs"].split())
    assert stated.startswith("in openvino, int8 (the file is quantized; ")
    assert stated.endswith(
        f"{sentence}the native engine is not known to be faster for this size in int8 with portable)"
    )
    assert stated.count("VNNI") == (is_exact is not None)
    assert "VNNI" not in console("info", model).out


def test_the_instructions_of_the_native_engine_are_stated(console, use_instructions):
    use_instructions("avx512")
    stated = " ".join(fields(console("info").out)["runs"].split())
    assert stated.startswith("in native, int8 (the fastest in int8 with avx512; the file is quantized; ")
    assert stated.endswith("; instructions: avx512)")
