from dataclasses import replace

import numpy as np
import pytest
from onnx import numpy_helper

from levit.deployment.build import build_artifact
from levit.errors import ExportError
from levit.exporting.verification import verify
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

CHECKPOINT = random_checkpoint(SMALL)


def artifact_with_changed_bias(difference: float) -> bytes:
    model = build_artifact(CHECKPOINT)
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "head.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(difference), bias.name))
    return model.SerializeToString()


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 1e-2)])
def test_an_artifact_is_verified_within_the_tolerance_of_its_weights(precision, tolerance):
    artifact = build_artifact(CHECKPOINT, weight_precision=precision).SerializeToString()
    assert 0 < verify(artifact, CHECKPOINT, weight_precision=precision) < tolerance


def test_one_changed_weight_is_detected():
    artifact = artifact_with_changed_bias(0.01)
    with pytest.raises(ExportError, match=r"^random: the exported network differs from the checkpoint by"):
        verify(artifact, CHECKPOINT, weight_precision="fp32")


def test_logits_that_are_not_finite_are_refused():
    artifact = artifact_with_changed_bias(np.nan)
    with pytest.raises(ExportError, match=r"^random: the exported network gives a logit that is not finite") as caught:
        verify(artifact, CHECKPOINT, weight_precision="fp32")
    assert "nan" not in str(caught.value)


def test_a_checkpoint_whose_logits_are_not_finite_is_refused():
    weights = CHECKPOINT.weights | {"classifier.linear.weight": np.full((5, 32), 1e308)}
    artifact = build_artifact(CHECKPOINT).SerializeToString()
    with pytest.raises(ExportError, match=r"^random: the network gives a logit that is not finite"):
        verify(artifact, replace(CHECKPOINT, weights=weights), weight_precision="fp32")
