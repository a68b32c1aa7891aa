"""What the base package computes where OpenVINO is not installed, by the native engine."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import levit
from levit.runtime.int8_arithmetic import has_exact_int8
from levit.runtime.model_resolution import find_artifact
from levit.runtime.native_check import evaluate
from tests.conftest import EXAMPLES, ROOT
from tests.runtime.small_model import write_checkpoint

pytestmark = pytest.mark.usefixtures("native_library")

# Hides packages from the import system, as if they were not installed.
HIDING = """
import json, sys
from importlib.machinery import PathFinder
HIDDEN = ("openvino", "onnxruntime", "torch")
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else PathFinder.find_spec(name, path, target)
    invalidate_caches = PathFinder.invalidate_caches
    find_distributions = PathFinder.find_distributions
sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
PHOTOS = [str(EXAMPLES / f"{name}.jpg") for name in ("cat", "espresso")]


def run_without(program: str, *arguments: object) -> str:
    """Standard output of a program in a process that finds neither OpenVINO nor ONNX Runtime nor torch."""
    command = [sys.executable, "-c", HIDING + program, *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    return process.stdout


PREDICT = """
import levit
photos, models = json.loads(sys.argv[1]), json.loads(sys.argv[2])
results = {}
for model in models:
    with levit.Classifier(model) as classify:
        logits = [prediction.logits.tolist() for prediction in classify.stream(photos)]
        results[str(model)] = classify.engine.name, logits, classify.embed(photos).tolist()
print(json.dumps(results))
"""


def test_every_precision_checkpoints_and_features_are_computed(tmp_path):
    checkpoint = write_checkpoint(tmp_path / "fruit")
    models: list[str | None] = [None, str(checkpoint)]
    for weights, size in (("fp32", None), ("fp16", None), ("fp32", 48)):
        models.append(str(tmp_path / f"{weights}-{size}.onnx"))
        levit.export(checkpoint, models[-1], weights=weights, image_size=size)
    results = json.loads(run_without(PREDICT, json.dumps(PHOTOS), json.dumps(models)))
    for model in models:
        engine, logits, features = results[str(model)]
        assert engine == "native"
        reference = "native" if model is None and has_exact_int8() is False else "openvino"  # whose sums saturate there
        with levit.Classifier(model, engine=reference) as classify:
            expected = np.array([prediction.logits for prediction in classify.stream(PHOTOS)])
            expected_features = classify.embed(PHOTOS)
        np.testing.assert_allclose(logits, expected, atol=0.05 * np.abs(expected).max())  # int8, or bf16 with AMX
        np.testing.assert_allclose(features, expected_features, atol=0.05 * np.abs(expected_features).max())


def test_commands_work_and_info_names_the_engine(tmp_path):
    checkpoint, target = write_checkpoint(tmp_path / "fruit"), tmp_path / "fruit.onnx"
    program = "sys.argv[0] = 'levit'\nfrom levit.cli import run\nrun()"
    exported = json.loads(run_without(program, "export", checkpoint, target, "--json"))
    assert exported["max_difference"] < 1e-4
    described = json.loads(run_without(program, "info", target, "--json"))
    assert described["runs_in"]["engine"] == "native"
    lines = run_without(program, "predict", *PHOTOS, "--model", target, "--json").splitlines()
    assert len(lines) == 2


def test_a_benchmark_leaves_out_the_peaks():
    program = f"""
from levit.benchmarking import benchmark
def start(name, model, engine, precision, threads, environment):
    options = {{"model": model, "engine": engine, "precision": precision, "threads": threads}}
    program = {HIDING!r} + "from levit.benchmarking import model_worker, workers\\n"
    program += "workers.serve(lambda: model_worker._start(**json.loads(sys.argv[1])))"
    return benchmark.Worker(name, [sys.executable, "-P", "-c", program, json.dumps(options)], environment)
benchmark.start_model_worker = start
report = benchmark.benchmark(batch_sizes=[1], rounds=1, seconds=0.01)
print(json.dumps(report.to_dict()))
"""
    values = json.loads(run_without(program))
    assert values["peaks"] == {}
    assert [(result["engine"], result["peak_share"]) for result in values["results"]] == [("native", None)]
    assert values["machine"]["processor"]


def test_what_needs_openvino_is_an_error_that_names_it(tmp_path):
    program = """
import levit
try:
    levit.Classifier(sys.argv[1], engine=sys.argv[2])
except levit.LevitError as error:
    print(error)
"""
    model = find_artifact(None)
    message = run_without(program, model, "openvino")
    assert message == "engine openvino is not installed (No module named 'openvino'): pip install openvino\n"
    missing = run_without("try: import levit.runtime.openvino_core\nexcept ImportError as error: print(error)")
    assert missing == "OpenVINO is missing (No module named 'openvino'): pip install openvino\n"
    other = onnx.load(model)
    other.graph.node[0].name = "renamed"
    for node in other.graph.node:
        node.name = f"other {node.name}"
    onnx.save(other, tmp_path / "other.onnx")
    message = run_without(program, tmp_path / "other.onnx", "auto")
    assert "other.onnx: the native engine cannot compute this model: the layer " in message
    assert message.endswith(": pip install openvino\n")


def test_the_evaluator_of_onnx_gives_the_logits_of_an_engine():
    model = find_artifact(None)
    assert isinstance(model, Path)
    engine = "native" if has_exact_int8() is False else "openvino"  # whose sums saturate there
    with levit.Classifier(engine=engine, precision="fp32") as classify:
        size = classify.artifact.architecture.image_height_width
        batch = np.random.default_rng(0).standard_normal((2, 3, *size), np.float32)
        expected = classify.engine.run(batch)
    np.testing.assert_allclose(evaluate(onnx.load(model), batch), expected, atol=0.05 * np.abs(expected).max())
