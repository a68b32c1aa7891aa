"""Pooled features: those from which the head computes the logits."""

import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from levit.checkpoints.reading import read_checkpoint
from levit.errors import EngineError, ImageError
from levit.exporting.export import export
from levit.runtime.classifier import Classifier
from levit.runtime.engine import open_engine
from levit.runtime.features import without_head
from levit.runtime.model_resolution import EMBEDDED_MODEL, find_artifact
from tests.conftest import EXAMPLES, ROOT
from tests.runtime.small_model import color_classifier, write_checkpoint

PHOTOS = [EXAMPLES / f"{name}.jpg" for name in ("cat", "espresso", "rocket")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("models") / "fruit")


def head(file) -> tuple[np.ndarray, np.ndarray]:
    tensors = {tensor.name: tensor for tensor in onnx.load(file).graph.initializer}
    weight, bias = (numpy_helper.to_array(tensors[name]) for name in ("head.weight", "head.bias"))
    return weight, bias


def counting(opened: list) -> Callable:
    """`open_engine`, whose engines are also added to a list."""

    def open_counted(*arguments, **options):
        opened.append(open_engine(*arguments, **options))
        return opened[-1]

    return open_counted


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_the_head_computes_the_logits_from_the_features(checkpoint, tmp_path, engine):
    export(checkpoint, tmp_path / "fruit.onnx")
    classify = Classifier(tmp_path / "fruit.onnx", precision="fp32", engine=engine)
    features = classify.embed(PHOTOS)
    assert (features.shape, features.dtype) == ((3, 32), np.float32)
    weight, bias = head(tmp_path / "fruit.onnx")
    logits = np.array([classify(photo).logits for photo in PHOTOS])
    np.testing.assert_allclose(features @ weight + bias, logits, atol=1e-4 * np.abs(logits).max())


def test_a_quantized_model_has_features_too():
    classify = Classifier(precision="fp32")
    features, (weight, bias) = classify.embed(PHOTOS), head(find_artifact(None))
    logits = np.array([classify(photo).logits for photo in PHOTOS])
    assert classify.engine.precision == "int8"
    np.testing.assert_allclose(features @ weight + bias, logits, atol=0.05 * np.abs(logits).max())


def test_a_file_with_half_precision_weights_has_features_too(checkpoint, tmp_path):
    export(checkpoint, tmp_path / "half.onnx", weights="fp16")
    expected = Classifier(checkpoint, precision="fp32").embed(PHOTOS)
    features = Classifier(tmp_path / "half.onnx", precision="fp32").embed(PHOTOS)
    np.testing.assert_allclose(features, expected, atol=0.01 * np.abs(expected).max())


@pytest.mark.parametrize("model", ["path", "checkpoint", "torch"])
def test_every_form_of_a_checkpoint_has_the_same_features(checkpoint, model):
    expected = Classifier(checkpoint, precision="fp32").embed(PHOTOS)
    source = read_checkpoint(checkpoint) if model == "checkpoint" else checkpoint
    options = {"engine": "torch"} if model == "torch" else {}
    features = Classifier(source, precision="fp32", **options).embed(PHOTOS)
    np.testing.assert_allclose(features, expected, atol=1e-6 * np.abs(expected).max())


def test_one_image_gives_one_row(checkpoint):
    classify = Classifier(checkpoint, precision="fp32")
    expected = classify.embed(PHOTOS)
    np.testing.assert_allclose(classify.embed(PHOTOS[1]), expected[1], atol=1e-6 * np.abs(expected).max())
    assert classify.embed([]).shape == (0, 32)


def test_bad_images_are_errors_or_reported_by_the_stream(checkpoint):
    classify = Classifier(checkpoint)
    with pytest.raises(ImageError, match=r"missing\.jpg: no such file"):
        classify.embed([PHOTOS[0], "missing.jpg"])
    with pytest.raises(ImageError, match=r"missing\.jpg: no such file"):
        classify.embed("missing.jpg")
    first, second = classify.stream_embeddings(["missing.jpg", PHOTOS[0]])
    assert (first.source, first.features.size, str(first.error)) == ("missing.jpg", 0, "missing.jpg: no such file")
    assert (second.source, second.features.shape, second.error) == (str(PHOTOS[0]), (32,), None)


def test_an_opened_engine_has_no_features():
    with pytest.raises(EngineError, match="colors: pooled features need the model's file"):
        color_classifier().embed(PHOTOS)


def test_a_file_of_another_program_has_no_features(tmp_path):
    nodes = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "other", values[:1], values[1:]))
    with pytest.raises(EngineError, match="no pooled features: it was not exported by levit"):
        without_head(model.SerializeToString())


def test_the_head_is_removed_completely():
    model = onnx.load_from_string(without_head(find_artifact(None)))
    onnx.checker.check_model(model)
    names = [node.name for node in model.graph.node] + [tensor.name for tensor in model.graph.initializer]
    assert not [name for name in names if name.startswith("head")]
    assert find_artifact(None).name == EMBEDDED_MODEL


def test_closing_the_classifier_closes_the_features(checkpoint):
    classify = Classifier(checkpoint)
    classify.embed(PHOTOS)
    classify.close()
    with pytest.raises(EngineError, match="closed"):
        classify.embed(PHOTOS)


def test_a_closed_classifier_opens_no_features(checkpoint):
    classify = Classifier(checkpoint)
    classify.close()
    with pytest.raises(EngineError, match="the engine is closed: open a new one"):
        classify.embed(PHOTOS)


def test_threads_open_the_features_once(checkpoint, monkeypatch):
    classify, opened, barrier = Classifier(checkpoint, precision="fp32"), [], threading.Barrier(4)
    monkeypatch.setattr("levit.runtime.rewritten_graph.open_engine", counting(opened))

    def embed(photo):
        barrier.wait(timeout=60)
        return classify.embed(photo)

    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(embed, [PHOTOS[0]] * 4))
    assert len(opened) == 1
    for row in rows:
        np.testing.assert_allclose(row, rows[0], atol=1e-6 * np.abs(rows[0]).max())


def test_the_computation_of_the_features_is_kept(checkpoint, monkeypatch):
    classify, calls = Classifier(checkpoint), []
    monkeypatch.setattr("levit.runtime.opened_model.usable_cores", lambda: calls.append(1) or 1)
    for photo in PHOTOS:
        classify.embed(photo)
    assert len(calls) == 1  # the cores are read from files, once and not for each photo


def test_copies_open_the_features_once_and_leave_them_open(checkpoint, monkeypatch):
    content = pickle.dumps(Classifier(checkpoint, precision="fp32", threads=1).embed)  # as each task of a pool has it
    opened = []
    monkeypatch.setattr("levit.runtime.rewritten_graph.open_engine", counting(opened))
    first, second = pickle.loads(content), pickle.loads(content)
    expected = first(PHOTOS[0])
    first.__self__.close()
    np.testing.assert_array_equal(second(PHOTOS[0]), expected)
    assert len(opened) == 1


def test_a_copy_of_a_checkpoint_in_memory_has_features(checkpoint):
    classify = Classifier(read_checkpoint(checkpoint), precision="fp32")
    expected = classify.embed(PHOTOS)
    restored = pickle.loads(pickle.dumps(classify))
    np.testing.assert_allclose(restored.embed(PHOTOS), expected, atol=1e-6 * np.abs(expected).max())


def test_features_do_not_need_torch():
    code = f"import levit, sys; levit.Classifier().embed({str(PHOTOS[0])!r}); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
