"""Teachers that OpenVINO cannot compute: torch does, or there is an error of one line."""

from contextlib import closing

import openvino
import pytest
import torch
from openvino import opset13

from levit.errors import CheckpointError, ConfigError, LevitError, LevitWarning
from levit.training import teacher_graph
from levit.training.teacher import Teacher
from levit.training.teacher_graph import read_onnx
from levit.training.teacher_process import TeacherProcess
from levit.training.teacher_server import TeacherSettings
from tests.training.opened_teachers import PIXELS, STUDENT, assert_close, open_, open_teacher, save_timm_network
from tests.training.tiny import CLASSES

convert_model = openvino.convert_model


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    return save_timm_network(tmp_path_factory.mktemp("resnet"))


def convert_with_other_weights(teacher, **arguments):
    with torch.no_grad():
        next(teacher.parameters()).mul_(1.01)
    try:
        return convert_model(teacher, **arguments)
    finally:
        with torch.no_grad():
            next(teacher.parameters()).div_(1.01)


def convert_for_one_image(teacher, **arguments):
    """A network with the shapes of the logits of any batch, which computes those of one image only."""
    pixels = opset13.parameter([-1, 3, 32, 32])
    one = opset13.reshape(pixels, [1, 3, 32 * 32], special_zero=False)
    return openvino.Model([opset13.reduce_mean(one, [2])], [pixels])


def convert_nothing(teacher, **arguments):
    raise NotImplementedError("no conversion of aten::nms\nwith a traceback")


FAILURES = pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (convert_with_other_weights, "OpenVINO computes other logits than torch"),
        (convert_for_one_image, r"OpenVINO cannot compute it \(.*\)"),
        (convert_nothing, r"OpenVINO cannot convert it \(no conversion of aten::nms\)"),
    ],
    ids=["other logits", "no logits", "no graph"],
)


@FAILURES
def test_a_teacher_that_openvino_cannot_compute_is_an_error_where_it_is_demanded(resnet, monkeypatch, convert, reason):
    monkeypatch.setattr(teacher_graph.openvino, "convert_model", convert)
    with pytest.raises(ConfigError, match=rf"^`teacher` .*: {reason}: set `teacher_engine` to torch$") as caught:
        open_(resnet, teacher_engine="openvino")
    assert "\n" not in str(caught.value)


@FAILURES
def test_a_teacher_that_openvino_cannot_compute_is_computed_by_torch(resnet, monkeypatch, convert, reason):
    monkeypatch.setattr(teacher_graph.openvino, "convert_model", convert)
    with pytest.warns(LevitWarning, match=rf"^`teacher` .*: {reason}: torch computes it, slower$"):
        teacher = open_(resnet, teacher_engine="auto")
    assert isinstance(teacher, Teacher)
    assert_close(teacher(PIXELS), open_teacher(str(resnet), CLASSES, STUDENT)(PIXELS))


def onnx_file(folder, output_shape):
    """An ONNX file of images with this shape of its first output."""
    from onnx import TensorProto, helper, save

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, output_shape)
    shape = helper.make_tensor("shape", TensorProto.INT64, [len(output_shape)], [0, *output_shape[1:]])
    nodes = [
        helper.make_node("GlobalMaxPool", ["image"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "shape"], ["logits"]),
    ]
    graph = helper.make_graph(nodes, "pooling", [image], [logits], [shape])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "pool.onnx")
    return folder / "pool.onnx"


def test_a_first_output_that_is_not_one_logit_for_each_class_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"^pool: its first output is not \[N, classes\]$"):
        read_onnx(onnx_file(tmp_path, ["N", 3, 1, 1]), "pool")
    assert read_onnx(onnx_file(tmp_path, ["N", 3]), "pool").output(0).get_partial_shape()[1] == 3


def test_a_batch_that_openvino_cannot_compute_is_an_error_of_one_line(tmp_path):
    graph = tmp_path / "one.xml"
    openvino.save_model(convert_for_one_image(None), graph, compress_to_fp16=False)
    settings = TeacherSettings(graphs=(str(graph),), shape=(3, 32, 32), precision="f32", threads=1)
    with closing(TeacherProcess(settings, source="one")) as teacher:
        torch.testing.assert_close(teacher(PIXELS[:1]), PIXELS[:1].mean((2, 3)))
        with pytest.raises(LevitError, match=r"^one: OpenVINO cannot compute it \(.+\)$") as caught:
            teacher(PIXELS)
    assert "\n" not in str(caught.value)


def test_a_graph_that_openvino_cannot_open_is_an_error_of_one_line(tmp_path):
    settings = TeacherSettings(graphs=(str(tmp_path / "no.xml"),), shape=(3, 32, 32), precision="f32", threads=1)
    with pytest.raises(LevitError, match=r"^none: OpenVINO cannot compute it \(.+\)$") as caught:
        TeacherProcess(settings, source="none")
    assert "\n" not in str(caught.value)
