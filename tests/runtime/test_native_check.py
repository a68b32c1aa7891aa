"""The check of a packed model compares logits of any size."""

import onnx
import pytest
from onnx import numpy_helper

from levit.deployment.build import build_artifact
from levit.runtime.native_check import check_packed
from levit.runtime.native_format import OtherFormError
from levit.runtime.native_packing import pack
from tests.conftest import random_checkpoint
from tests.runtime.native_library import _library, native_library  # noqa: F401  # fixtures
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
    with pytest.raises(OtherFormError, match="its logits of a random image differ from those of OpenVINO"):
        check_packed({"fp32": pack(model)}, zeros)
