"""The check of a packed model compares logits of any size."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from levit.deployment.build import build_artifact
from levit.exporting.artifact_files import artifact_of
from levit.images.transform import normalize
from levit.runtime.native_check import check_packed, evaluate, random_image
from levit.runtime.native_format import OtherFormError, WrongLogitsError
from levit.runtime.native_packing import pack
from tests.conftest import random_checkpoint
from tests.runtime.small_model import SMALL

pytestmark = pytest.mark.usefixtures("native_library")


def without_head(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with zeros in its head, so that all logits are zero."""
    zeros = onnx.ModelProto()
    zeros.CopyFrom(model)
    for tensor in zeros.graph.initializer:
        if tensor.name.startswith("head"):
            tensor.CopyFrom(numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name))
    return zeros


def test_logits_that_are_all_zero_are_compared():
    model = build_artifact(random_checkpoint(SMALL))
    zeros = without_head(model)
    check_packed({"fp32": pack(zeros)}, zeros)
    with pytest.raises(OtherFormError, match="its logits of a random image differ from those of onnx"):
        check_packed({"fp32": pack(model)}, zeros)


def test_logits_of_another_number_of_classes_are_an_error():
    model, other = (build_artifact(random_checkpoint(replace(SMALL, num_labels=count))) for count in (5, 7))
    with pytest.raises(OtherFormError, match=r"^its output has the shape \[1, 7\], not \[1, 5\]$"):
        check_packed({"fp32": pack(model)}, other)


def test_normalization_is_checked_too():
    checkpoint = random_checkpoint(SMALL)
    other = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, mean=(0.1, 0.5, 0.9)))
    model, packed = build_artifact(checkpoint), pack(build_artifact(other))
    check_packed({"fp32": pack(model)}, model)
    with pytest.raises(WrongLogitsError, match="its logits of a random image differ from those of onnx"):
        check_packed({"fp32": packed}, model)


def test_a_network_of_one_channel_takes_values():
    architecture = replace(SMALL, num_channels=1)
    model = build_artifact(random_checkpoint(architecture))
    assert random_image(artifact_of(model)).shape == (1, 1, *architecture.image_height_width)
    check_packed({"fp32": pack(model)}, model)


def test_logits_that_are_not_finite_cannot_be_compared():
    model = build_artifact(random_checkpoint(SMALL))
    for tensor in model.graph.initializer:
        if tensor.name == "head.bias":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(np.inf), tensor.name))
    with pytest.raises(OtherFormError, match="its logits of a random image are not finite, so they cannot be compared"):
        check_packed({"fp32": pack(model)}, model)


def test_a_graph_that_the_evaluator_of_onnx_cannot_compute_is_an_error_of_one_line():
    model = build_artifact(random_checkpoint(SMALL))
    artifact = artifact_of(model)
    batch = normalize(random_image(artifact), artifact.preprocessing)
    assert evaluate(model, batch).shape == (1, 5)
    model.graph.node[0].op_type = "Unknown"
    with pytest.raises(OtherFormError, match=r"^the evaluator of onnx cannot compute it \(.+\)$") as caught:
        evaluate(model, batch)
    assert "\n" not in str(caught.value)
