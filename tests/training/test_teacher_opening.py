"""Teachers of a run in OpenVINO: their logits are those of torch, and a function of their pixels only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
from torch.nn import functional

import levit
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.errors import CheckpointError, ConfigError, DataError, LevitError
from levit.exporting.export import export
from levit.spec.preprocessing import Preprocessing
from levit.training import teacher_opening
from levit.training.onnx_teacher import open_onnx_classifier
from levit.training.teacher import Teacher
from levit.training.teacher_process import TeacherProcess
from tests.training.opened_teachers import (
    PIXELS,
    STUDENT,
    assert_close,
    open_,
    open_teacher,
    open_teachers,
    opened,
    save_timm_network,
)
from tests.training.tiny import CLASSES, config, label_names, save_levit, trained


@pytest.fixture(scope="module")
def resnet(tmp_path_factory) -> Path:
    """A network of timm for 64 pixels, with label names in another order than the student's."""
    return save_timm_network(tmp_path_factory.mktemp("resnet"))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory) -> Path:
    """An exported LeViT with more labels than the student."""
    folder = tmp_path_factory.mktemp("artifact")
    export(save_levit(folder / "levit", ("emu", *CLASSES[::-1])), folder / "teacher.onnx")
    return folder


def test_a_network_of_timm_gives_the_logits_of_torch(resnet):
    with opened(resnet) as teacher:
        assert isinstance(teacher, TeacherProcess)
        assert_close(teacher(PIXELS), open_teacher(str(resnet), CLASSES, STUDENT)(PIXELS))


def test_a_network_of_transformers_gives_the_logits_of_torch(tmp_path):
    shape = transformers.ViTConfig(
        image_size=48, patch_size=16, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8,
        **label_names(CLASSES),
    )  # fmt: skip
    trained(transformers.ViTForImageClassification(shape)).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 48, "width": 48}).save_pretrained(tmp_path)
    with opened(tmp_path) as teacher:
        assert_close(teacher(PIXELS), open_teacher(str(tmp_path), CLASSES, STUDENT)(PIXELS))


@pytest.mark.parametrize(
    "kind", [levit.LevitForImageClassification, levit.LevitForImageClassificationWithTeacher], ids=["one", "two"]
)
def test_a_levit_gives_the_logits_of_torch(tmp_path, kind):
    save_levit(tmp_path, CLASSES[::-1], kind=kind, image_size=48)
    with opened(tmp_path) as teacher:
        assert_close(teacher(PIXELS), open_teacher(str(tmp_path), CLASSES, STUDENT)(PIXELS))


def test_an_artifact_gives_the_logits_of_its_checkpoint(artifact):
    expected = open_teacher(str(artifact / "levit"), CLASSES, STUDENT)(PIXELS)
    with opened(artifact / "teacher.onnx") as teacher:
        assert_close(teacher(PIXELS), expected)


@pytest.mark.parametrize("engine", ["torch", "openvino", "onnx"])
def test_scores_are_renormalized_over_the_classes_of_the_student(artifact, engine):
    """The teacher has one more class, in another order."""
    with torch.no_grad():
        scores = levit.load_checkpoint(str(artifact / "levit"))(PIXELS).logits.softmax(dim=1)
    expected = scores[:, [3, 2, 1]] / (1 - scores[:, :1])
    assert scores[:, 0].min() > 0.01
    if engine == "torch":
        logits = open_(artifact / "levit", teacher_engine="torch")(PIXELS)
    else:
        with opened(artifact / ("levit" if engine == "openvino" else "teacher.onnx")) as teacher:
            logits = teacher(PIXELS)
    torch.testing.assert_close(logits.softmax(dim=1), expected, rtol=1e-4, atol=1e-5)


def test_an_onnx_file_of_another_library_has_the_labels_in_the_configuration_next_to_it(artifact, resnet, tmp_path):
    import onnx

    model = onnx.load(artifact / "teacher.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "teacher.onnx")
    with pytest.raises(CheckpointError, match=r"^`teacher` .*: it has no labels: put the config.json") as caught:
        open_(tmp_path / "teacher.onnx")
    assert "\n" not in str(caught.value)
    config(("emu", *CLASSES[::-1])).save_pretrained(tmp_path)
    with opened(tmp_path / "teacher.onnx") as teacher, opened(artifact / "teacher.onnx") as same:
        assert torch.equal(teacher(PIXELS), same(PIXELS))
    (tmp_path / "config.json").write_bytes((resnet / "config.json").read_bytes())
    preprocessing = open_onnx_classifier(tmp_path / "teacher.onnx", "").preprocessing  # as timm's configuration states
    assert (preprocessing.mean, preprocessing.std) == ((0.5,) * 3, (0.25,) * 3)
    expected = Teacher(levit.load_checkpoint(str(artifact / "levit")), preprocessing, [2, 1, 0], STUDENT)
    with opened(tmp_path / "teacher.onnx") as teacher:
        assert_close(teacher(PIXELS), expected(PIXELS))


def test_the_logits_of_several_teachers_are_their_mean(artifact, resnet):
    expected = open_teachers([str(artifact / "levit"), str(resnet)], CLASSES, STUDENT)(PIXELS)
    with opened(f"{artifact / 'teacher.onnx'},{resnet}") as teacher:
        assert_close(teacher(PIXELS), expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_logits_of_an_image_depend_on_its_pixels_only(resnet, precision):
    """So a run that is stopped between any two steps is resumed to the same bits."""
    pixels = torch.randn(37, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with opened(resnet, precision=precision) as teacher:
        whole = teacher(pixels)
        assert torch.equal(teacher(pixels), whole)
        assert torch.equal(torch.cat([teacher(pixels[:1]), teacher(pixels[1:20]), teacher(pixels[20:])]), whole)
        channels_last = pixels.to(memory_format=torch.channels_last)
        assert torch.equal(teacher(channels_last), whole)
    with opened(resnet, precision=precision) as again:
        assert torch.equal(again(pixels), whole)


def test_batches_are_submitted_ahead_and_collected_in_order(resnet):
    with opened(resnet) as teacher:
        expected = teacher(PIXELS)
        for count in (3, 1, 2):
            teacher.submit(PIXELS[:count])
        for count in (3, 1, 2):
            assert torch.equal(teacher.collect(count), expected[:count])


@pytest.mark.parametrize("kind", ["timm", "LeViT", "ONNX"])
def test_the_size_of_a_teacher_can_be_chosen(resnet, tmp_path, kind):
    if kind == "timm":
        name, expected = resnet, resized(open_teacher(str(resnet), CLASSES, STUDENT), 48)
    elif kind == "LeViT":
        name = save_levit(tmp_path / "levit", CLASSES)
        network = levit.load_checkpoint(resize_checkpoint(levit.read_checkpoint(name), (48, 48)))
        expected = Teacher(network, Preprocessing.for_image_size((48, 48)), range(3), STUDENT)
    else:
        dynamic = onnx_with_global_pooling(tmp_path)
        name, expected = dynamic, None
    with opened(name, teacher_size=48) as teacher:
        logits = teacher(PIXELS)
    if expected is not None:
        assert_close(logits, expected(PIXELS))
    else:
        enlarged = functional.interpolate(PIXELS, (48, 48), mode="bicubic", antialias=True, align_corners=False)
        assert_close(logits, enlarged[:, [0, 2, 1]].amax(dim=(2, 3)))


def resized(teacher, side):
    """The same teacher in torch for another image size."""
    teacher.size = (side, side)
    return teacher


def onnx_with_global_pooling(folder):
    """An ONNX file of any image size, whose logits are the largest values of each color."""
    from onnx import TensorProto, helper, save

    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, "H", "W"])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 3])
    nodes = [
        helper.make_node("GlobalMaxPool", ["image"], ["pooled"]), helper.make_node("Flatten", ["pooled"], ["logits"])
    ]  # fmt: skip
    graph = helper.make_graph(nodes, "pooling", [image], [logits])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, folder / "pool.onnx")
    config((CLASSES[0], CLASSES[2], CLASSES[1])).save_pretrained(folder)
    return folder / "pool.onnx"


def test_a_size_that_a_teacher_refuses_is_named(artifact):
    with pytest.raises(ConfigError, match=r"^`teacher` .*: it cannot take images of 48x48 \(") as caught:
        open_(artifact / "teacher.onnx", teacher_size=48)
    assert "\n" not in str(caught.value)


def test_on_a_cpu_openvino_computes_a_teacher_by_default(resnet):
    with opened(resnet, teacher_engine="auto") as teacher:
        assert isinstance(teacher, TeacherProcess)
    assert isinstance(open_(resnet, teacher_engine="torch"), Teacher)
    assert open_("none") is None


def test_broken_onnx_teachers_are_refused_in_one_line(artifact, tmp_path):
    (tmp_path / "text.onnx").write_text("no model")
    truncated = (artifact / "teacher.onnx").read_bytes()[:2000]
    (tmp_path / "truncated.onnx").write_bytes(truncated)
    for name in ("text.onnx", "truncated.onnx", "nowhere.onnx"):
        with pytest.raises(CheckpointError, match=rf"^`teacher` .*{name}: ") as caught:
            open_(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"teacher_engine.* is torch, and .* is an ONNX file"):
        open_(artifact / "teacher.onnx", teacher_engine="torch")
    with pytest.raises(DataError, match=r"^`teacher` .*: not every class .* its 4 labels .*'fox'"):
        open_(artifact / "teacher.onnx", classes=(*CLASSES, "fox"))


def test_the_process_of_a_teacher_imports_neither_torch_nor_timm():
    code = (
        "import sys, levit.training.teacher_server, levit.runtime.openvino_core\n"
        "print(*{'torch', 'timm', 'transformers', 'accelerate', 'onnx'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_teacher_whose_process_has_ended_is_an_error_in_one_line(resnet):
    teacher = open_(resnet)
    os.kill(teacher._process.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    with pytest.raises(LevitError, match=r"^`teacher` .*: its process ended with exit code") as caught:
        teacher(PIXELS)
    assert "\n" not in str(caught.value)
    teacher.close()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows has no SIGSTOP")
@pytest.mark.parametrize("count", [1, len(PIXELS)], ids=["the pixels fit into the pipe", "they do not"])
def test_a_teacher_whose_process_does_not_respond_is_ended_with_an_error(resnet, count):
    teacher = open_(resnet)
    teacher.max_wait = 0.2
    os.kill(teacher._process.pid, signal.SIGSTOP)
    with pytest.raises(LevitError, match=r"^`teacher` .*: its process did not respond, and was ended: see whether the"):
        teacher(PIXELS[:count])
    teacher.close()
    assert teacher._process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("on_machine", "expected"), [(None, 4), ("2", 8), ("32", 1)])
def test_processes_on_gpus_of_one_machine_share_its_cores_among_their_teachers(
    artifact, monkeypatch, on_machine, expected
):
    settings = []
    monkeypatch.setattr(teacher_opening, "TeacherProcess", lambda chosen, **_: settings.append(chosen))
    monkeypatch.setattr(teacher_opening, "usable_cores", lambda: 16)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if on_machine is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", on_machine)
    open_(artifact / "teacher.onnx", device="cuda", num_processes=4)
    open_(artifact / "teacher.onnx", num_processes=4)
    assert [chosen.threads for chosen in settings] == [expected, torch.get_num_threads()]


def test_closing_a_teacher_ends_its_process(resnet):
    teacher = open_(resnet)
    teacher.close()
    teacher.close()
    assert teacher._process.returncode == 0
