"""All engines pass the same checks."""

import numpy as np
import pytest

from levit.deployment.build import build_artifact
from levit.deployment.reference import run_reference
from levit.errors import EngineError
from levit.runtime.classifier import Classifier
from levit.runtime.engine import CHECKPOINT_ENGINES, ENGINES, open_engine
from levit.runtime.model_resolution import open_model
from levit.runtime.normalizing_engine import as_image_engine
from levit.runtime.opened_model import ModelOptions
from levit.spec.artifact import Artifact
from tests.conftest import random_checkpoint
from tests.runtime.engine_checks import CHECKS, IMAGES, NOISE, CheckedEngine
from tests.runtime.fake_engine import FakeEngine
from tests.runtime.small_model import SMALL, write_checkpoint

ALL_ENGINES = [*ENGINES, *CHECKPOINT_ENGINES, "fake"]


def open_checked(name: str) -> CheckedEngine:
    checkpoint = random_checkpoint(SMALL)

    def expected(batch: np.ndarray) -> np.ndarray:
        if batch.shape[1:] != (3, 32, 32):
            raise EngineError(f"the reference cannot run a batch of shape {list(batch.shape)}: give 3x32x32")
        if not len(batch):
            return np.zeros((0, SMALL.num_labels), np.float32)
        return run_reference(checkpoint.weights, SMALL, batch)["logits"].astype(np.float32)

    if name == "fake":
        return CheckedEngine(FakeEngine(checkpoint.as_artifact("fp32"), expected), expected)
    if name in CHECKPOINT_ENGINES:
        pytest.importorskip(CHECKPOINT_ENGINES[name].package)
        engine = open_model(ModelOptions(checkpoint, engine=name, precision="fp32", provider="cpu"))
    else:
        pytest.importorskip(ENGINES[name].package)
        content = build_artifact(checkpoint).SerializeToString()
        engine = open_engine(content, engine=name, precision="fp32")
    assert engine.name == name
    return CheckedEngine(engine, expected)


@pytest.fixture(scope="module", params=ALL_ENGINES)
def checked(request) -> CheckedEngine:
    return open_checked(request.param)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_engines_conform(checked, check):
    check(checked)


@pytest.mark.parametrize("name", ALL_ENGINES)
def test_a_closed_engine_finishes_its_batches_and_refuses_others(name):
    with open_checked(name).engine as engine:
        image_engine = as_image_engine(engine, Artifact.from_metadata(engine.metadata).preprocessing)
        image_engine.run_images(IMAGES)
        futures = [image_engine.submit(IMAGES[:2], 2) for _ in range(2)]
        if image_engine is not engine:
            image_engine.close()
    assert [future.result(timeout=60).shape for future in futures] == [(2, 5)] * 2
    for compute in (
        lambda: engine.run(NOISE),
        lambda: image_engine.run_images(IMAGES),
        lambda: image_engine.submit(IMAGES, 5),
    ):
        with pytest.raises(EngineError, match="the engine is closed: open a new one"):
            compute()
    engine.close()


@pytest.mark.parametrize("name", ALL_ENGINES)
def test_a_classifier_closes_only_the_engine_that_it_opened(name):
    engine = open_checked(name).engine
    with Classifier(engine) as classifier:
        logits = classifier(IMAGES[0]).logits
        list(classifier.stream(list(IMAGES), batch_size=2))
    np.testing.assert_array_equal(Classifier(engine)(IMAGES[0]).logits, logits)


@pytest.mark.parametrize("name", ALL_ENGINES)
def test_a_closed_classifier_refuses_predictions_by_an_engine_that_stays_open(name):
    engine = open_checked(name).engine
    with Classifier(engine) as classifier:
        normalizing = as_image_engine(engine, classifier.artifact.preprocessing)
        assert classifier(IMAGES[0]).error is None
    for predict in (lambda: classifier(IMAGES[0]), lambda: list(classifier.stream(list(IMAGES)))):
        with pytest.raises(EngineError, match="the engine is closed: open a new one"):
            predict()
    if normalizing is not engine:
        normalizing.close()
        for compute, batch in ((normalizing.run, NOISE), (normalizing.run_images, IMAGES)):
            with pytest.raises(EngineError, match="the engine is closed: open a new one"):
                compute(batch)
    assert engine.run(NOISE).shape == (6, 5)


def test_a_closed_classifier_refuses_predictions(tmp_path):
    with Classifier(write_checkpoint(tmp_path / "fruit")) as classifier:
        stream = classifier.stream(list(IMAGES) * 4, batch_size=2)
        next(stream)
    for predict in (lambda: classifier(IMAGES[0]), lambda: list(stream), lambda: classifier.engine.run(NOISE)):
        with pytest.raises(EngineError, match="the engine is closed"):
            predict()
    classifier.close()
