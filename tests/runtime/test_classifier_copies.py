"""Pickled classifiers, in the same process and in a pool of processes."""

import copy
import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from levit.checkpoints.reading import read_checkpoint
from levit.errors import CheckpointError, EngineError
from levit.runtime.classifier import Classifier
from tests.conftest import EXAMPLES, ROOT
from tests.marks import needs_fork
from tests.runtime.small_model import LABELS, color_classifier

PHOTOS = [str(EXAMPLES / f"{name}.jpg") for name in ("cat", "espresso", "rocket")]


def test_repr_has_model_classes_size_and_engine(checkpoint):
    classify = Classifier(checkpoint, precision="fp32")
    assert repr(classify) == "Classifier('fruit': 5 classes, 32x32 pixels, openvino in fp32)"


def test_a_copy_has_the_model_and_the_options(checkpoint):
    classify = Classifier(checkpoint, precision="fp32", engine="onnxruntime", preprocessing="exact", max_pixels=10**7)
    restored = pickle.loads(pickle.dumps(classify))
    assert (restored.labels, restored.engine.name) == (LABELS, "onnxruntime")
    for photo in PHOTOS:
        np.testing.assert_array_equal(restored(photo).logits, classify(photo).logits)
    with pytest.raises(Exception, match="limit of 10"):
        restored(np.zeros((4000, 4000), np.uint8))


def test_a_copy_opens_its_model_in_another_folder(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(Classifier("fruit"))
    monkeypatch.chdir("/")
    assert pickle.loads(content).labels == LABELS


def test_a_copy_of_a_checkpoint_in_memory_works(checkpoint):
    classify = Classifier(read_checkpoint(checkpoint), precision="fp32")
    restored = pickle.loads(pickle.dumps(classify))
    np.testing.assert_array_equal(restored(PHOTOS[0]).logits, classify(PHOTOS[0]).logits)


def test_copies_in_one_process_share_their_engine_and_do_not_close_it(checkpoint):
    content = pickle.dumps(Classifier(checkpoint))
    first, second = pickle.loads(content), pickle.loads(content)
    assert first.engine is second.engine
    first.close()
    assert second(PHOTOS[0]).error is None


def test_closing_a_copy_leaves_the_original_open_and_the_reverse(checkpoint):
    classify = Classifier(checkpoint)
    closed, copied = copy.copy(classify), copy.copy(classify)
    closed.close()
    assert classify(PHOTOS[0]).error is None
    classify.close()
    assert copied(PHOTOS[0]).error is None
    for classifier in (classify, closed):
        with pytest.raises(EngineError, match="the engine is closed"):
            classifier(PHOTOS[0])


def test_a_missing_model_is_an_error_of_the_first_use(checkpoint):
    content = pickle.dumps(Classifier(checkpoint))
    for file in checkpoint.iterdir():
        file.unlink()
    checkpoint.rmdir()
    restored = pickle.loads(content)
    with pytest.raises(CheckpointError, match="no such file"):
        restored(PHOTOS[0])


def test_a_classifier_of_an_opened_engine_cannot_be_pickled():
    with pytest.raises(TypeError, match="with an opened engine cannot be pickled: give it the model's file"):
        pickle.dumps(color_classifier())


@pytest.mark.slow
def test_a_classifier_works_in_a_pool_of_processes(checkpoint):
    classify = Classifier(checkpoint, precision="fp32", threads=1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        predictions = list(pool.map(classify, PHOTOS))
    for photo, prediction in zip(PHOTOS, predictions, strict=True):
        assert prediction.source == photo
        np.testing.assert_array_equal(prediction.logits, classify(photo).logits)


@pytest.mark.slow
@needs_fork
def test_in_a_forked_pool_the_error_is_raised_instead_of_a_wait(checkpoint):
    """In a process of its own, because forking the tests' process, which has threads, could hang."""
    code = """
import multiprocessing, sys
import levit
classify = levit.Classifier(sys.argv[1], engine="openvino")
classify(sys.argv[2])
with multiprocessing.get_context("fork").Pool(1) as pool:
    try:
        pool.map(classify, [sys.argv[2]])
    except levit.EngineError as error:
        print(error)
"""
    command = [sys.executable, "-c", code, str(checkpoint), PHOTOS[0]]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert "before this process was forked" in result.stdout
    assert "spawn" in result.stdout
