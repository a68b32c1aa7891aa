"""A frozen teacher gets the pixels of the student in its own normalization and size."""

import json

import numpy as np
import pytest
import timm
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import levit
from levit.errors import CheckpointError, ConfigError, DataError
from levit.images.transform import normalize
from levit.spec.labels import default_labels
from levit.spec.preprocessing import Preprocessing
from levit.training.teacher import Teacher
from tests.training.opened_teachers import open_teacher, open_teachers, save_resnet
from tests.training.tiny import CLASSES, TIMM_NETWORK, config, label_names, predict, save_levit, trained

STUDENT = Preprocessing.for_image_size((32, 32))
HALF = Preprocessing(resize=36, crop=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
LEVELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
PIXELS = torch.from_numpy(normalize(LEVELS, STUDENT))
ALL = range(len(CLASSES))


@pytest.fixture(scope="module")
def network():
    return trained(levit.LevitForImageClassification(config()))


class Identity(nn.Module):
    """Network whose logits are its pixels."""

    def forward(self, pixel_values):
        return pixel_values.flatten(1)


def enlarged(levels, side):
    """Pixels from 0 to 255 at another size, before normalization."""
    pixels = torch.from_numpy(levels).permute(0, 3, 1, 2).float()
    return functional.interpolate(pixels, (side, side), mode="bicubic", antialias=True, align_corners=False)


def normalized(pixels, preprocessing):
    scale, shift = (torch.tensor(values)[:, None, None] for values in preprocessing.scale_and_shift())
    return pixels * scale + shift


STATISTICS = st.tuples(*[st.floats(0.05, 0.95)] * 3)


@given(STATISTICS, STATISTICS, STATISTICS, STATISTICS, st.sampled_from([None, 1 / 255, 2 / 255]))
def test_pixels_are_normalized_for_the_teacher(mean, std, own_mean, own_std, rescale):
    student = Preprocessing(resize=None, crop=None, mean=mean, std=std)
    own = Preprocessing(resize=None, crop=None, mean=own_mean, std=own_std, rescale=rescale)
    given_pixels = torch.from_numpy(normalize(LEVELS[:1, :4, :4], student))
    result = Teacher(Identity(), own, range(48), student)(given_pixels)
    expected = torch.from_numpy(normalize(LEVELS[:1, :4, :4], own)).flatten(1)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_a_student_without_normalization_may_have_a_teacher():
    plain = Preprocessing(resize=None, crop=None, mean=None, std=None)
    result = Teacher(Identity(), HALF, range(3 * 32 * 32), plain)(torch.from_numpy(normalize(LEVELS, plain)))
    torch.testing.assert_close(result, torch.from_numpy(normalize(LEVELS, HALF)).flatten(1))


def test_the_logits_are_those_for_its_own_normalization(network):
    teacher = Teacher(network, HALF, ALL, STUDENT)
    own = torch.from_numpy(normalize(LEVELS, HALF))
    torch.testing.assert_close(teacher(PIXELS), predict(network, own), rtol=1e-5, atol=1e-5)


def test_the_logits_are_those_for_its_own_image_size():
    network = trained(levit.LevitForImageClassification(config(image_size=48)))
    own = Preprocessing(resize=48, crop=(48, 48), mean=(0.5,) * 3, std=(0.25,) * 3)
    expected = predict(network, normalized(enlarged(LEVELS, 48), own))
    torch.testing.assert_close(Teacher(network, own, ALL, STUDENT)(PIXELS), expected, rtol=1e-5, atol=1e-5)


def test_a_teacher_without_a_fixed_size_takes_the_size_of_the_student():
    own = Preprocessing(resize=None, crop=None)
    assert Teacher(Identity(), own, range(5), STUDENT)(PIXELS).shape == (4, 5)


def test_a_teacher_stays_frozen_and_in_evaluation_mode(network):
    teacher = Teacher(trained(levit.LevitForImageClassification(config(drop_path_rate=0.5))), HALF, ALL, STUDENT)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    both = nn.ModuleList([network, teacher]).train()
    assert network.training
    assert not any(module.training for module in teacher.modules())
    network.eval()
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    pixels = PIXELS.clone().requires_grad_()
    logits = teacher(pixels)
    assert not logits.requires_grad
    assert torch.equal(teacher(pixels), logits)
    assert teacher.train() is teacher
    for name, tensor in both[1].state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_teacher_is_not_in_the_state_of_the_student(build, checkpoint):
    student = build(checkpoint, teacher=str(checkpoint))
    names = set(student.network.state_dict())
    teacher = open_teacher(str(checkpoint), student.classes, student.preprocessing)
    assert set(student.network.state_dict()) == names
    assert not any(name in teacher.state_dict() for name in ("scale", "shift", "class_indices"))


def test_the_logits_are_float32_under_autocast(network):
    with torch.autocast("cpu", torch.bfloat16):
        assert Teacher(network, HALF, ALL, STUDENT)(PIXELS).dtype == torch.float32


def test_a_levit_checkpoint_is_a_teacher(checkpoint):
    teacher = open_teacher(str(checkpoint), CLASSES, STUDENT)
    expected = predict(levit.load_checkpoint(str(checkpoint)), PIXELS)
    torch.testing.assert_close(teacher(PIXELS), expected, rtol=1e-5, atol=1e-5)


def test_the_logits_of_an_ensemble_are_the_mean_of_its_teachers(checkpoint, tmp_path):
    other = save_levit(tmp_path, CLASSES[::-1], image_size=48)
    both = open_teachers([str(checkpoint), str(other)], CLASSES, STUDENT).train()
    each = [open_teachers([str(path)], CLASSES, STUDENT)(PIXELS) for path in (checkpoint, other)]
    torch.testing.assert_close(both(PIXELS), (each[0] + each[1]) / 2)
    assert not torch.allclose(each[0], each[1], atol=0.1)
    assert not any(parameter.requires_grad for parameter in both.parameters())
    assert not any(teacher.training for teacher in both.teachers)
    with pytest.raises(CheckpointError, match="nowhere"):
        open_teachers([str(checkpoint), str(tmp_path / "nowhere")], CLASSES, STUDENT)


def test_labels_are_matched_by_name(checkpoint, tmp_path):
    expected = predict(levit.load_checkpoint(str(checkpoint)), PIXELS)
    result = open_teacher(str(checkpoint), ("Dog", "bear", "cat"), STUDENT)(PIXELS)
    torch.testing.assert_close(result, expected[:, [2, 0, 1]], rtol=1e-5, atol=1e-5)


def test_a_teacher_may_have_more_labels(tmp_path):
    folder = save_levit(tmp_path / "more", ("emu", "dog", "fox", "bear", "cat"))
    expected = predict(levit.load_checkpoint(str(folder)), PIXELS)
    result = open_teacher(str(folder), CLASSES, STUDENT)(PIXELS)
    torch.testing.assert_close(result, expected[:, [3, 4, 1]], rtol=1e-5, atol=1e-5)


def test_the_logits_of_two_heads_are_their_mean(tmp_path):
    folder = save_levit(tmp_path / "two", CLASSES, kind=levit.LevitForImageClassificationWithTeacher)
    with torch.no_grad():
        output = levit.load_checkpoint(str(folder))(PIXELS)
    expected = (output.cls_logits + output.distillation_logits) / 2
    torch.testing.assert_close(open_teacher(str(folder), CLASSES, STUDENT)(PIXELS), expected, rtol=1e-5, atol=1e-5)


def test_a_missing_class_is_an_error_with_a_hint(checkpoint):
    with pytest.raises(
        DataError, match=r"^`teacher` .*: not every class .* its 3 labels .*'emu'.*levit train DATA --model"
    ) as caught:
        open_teacher(str(checkpoint), (*CLASSES, "emu"), STUDENT)
    assert "\n" not in str(caught.value)
    assert "class_map" not in str(caught.value)


def test_a_saved_timm_network_is_a_teacher(build, tmp_path):
    student = build(TIMM_NETWORK, CLASSES[::-1], from_scratch=True, image_size=48)
    trained(student.network)
    student.save(tmp_path, student.network.state_dict())
    teacher = open_teacher(str(tmp_path), CLASSES, STUDENT)
    stock = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    expected = predict(stock, normalized(enlarged(LEVELS, 48), student.preprocessing))[:, [2, 1, 0]]
    torch.testing.assert_close(teacher(PIXELS), expected, rtol=1e-5, atol=1e-5)


def test_a_timm_network_without_label_names_has_those_of_imagenet(tmp_path):
    network = trained(timm.create_model(TIMM_NETWORK.removeprefix("timm/")))
    timm.models.save_for_hf(network, tmp_path, safe_serialization=True)
    teacher = open_teacher(str(tmp_path), ("n02123045", "goldfish, Carassius auratus"), STUDENT)
    assert teacher.class_indices.tolist() == [default_labels(1000).index("tabby, tabby cat"), 1]
    assert teacher(PIXELS).shape == (4, 2)
    assert teacher.size == (160, 160)


def test_a_levit_in_the_format_of_timm_is_a_teacher(tmp_path):
    network = trained(timm.create_model("levit_128s", num_classes=3, img_size=64))
    timm.models.save_for_hf(network, tmp_path, {"label_names": list(CLASSES)}, safe_serialization=True)
    teacher = open_teacher(str(tmp_path), CLASSES, STUDENT)
    assert isinstance(teacher.network, levit.LevitPreTrainedModel)
    assert teacher.size == (64, 64)
    expected = predict(network, normalized(enlarged(LEVELS, 64), STUDENT))
    torch.testing.assert_close(teacher(PIXELS), expected, rtol=1e-4, atol=1e-4)


PROCESSORS = {
    "crop": (
        transformers.ConvNextImageProcessor(size={"shortest_edge": 48}, crop_pct=0.9),
        (48, 48),
    ),
    "whole": (
        transformers.DeiTImageProcessor(size={"height": 48, "width": 48}, do_center_crop=False),
        (48, 48),
    ),
    "exact": (transformers.ViTImageProcessor(size={"height": 48, "width": 40}), (48, 40)),
}


@pytest.mark.parametrize("kind", PROCESSORS)
def test_another_transformers_network_is_a_teacher(tmp_path, kind):
    processor, size = PROCESSORS[kind]
    network = save_resnet(tmp_path, ("dog", "cat", "bear"))
    processor.save_pretrained(tmp_path)
    teacher = open_teacher(str(tmp_path), CLASSES, STUDENT)
    assert teacher.size == size
    own = Preprocessing(resize=size, crop=size, mean=tuple(processor.image_mean), std=tuple(processor.image_std))
    pixels = torch.from_numpy(LEVELS).permute(0, 3, 1, 2).float()
    pixels = functional.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False)
    expected = predict(network, normalized(pixels, own))[:, [2, 1, 0]]
    torch.testing.assert_close(teacher(PIXELS), expected, rtol=1e-4, atol=1e-5)


def test_half_precision_weights_are_converted_to_float32(tmp_path):
    save_resnet(tmp_path, CLASSES).to(torch.bfloat16).save_pretrained(tmp_path)
    PROCESSORS["exact"][0].save_pretrained(tmp_path)
    teacher = open_teacher(str(tmp_path), CLASSES, STUDENT)
    assert {parameter.dtype for parameter in teacher.network.parameters()} == {torch.float32}
    assert teacher(PIXELS).shape == (4, len(CLASSES))


def test_an_image_size_that_the_teacher_refuses_is_named(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    shape = transformers.ViTConfig(image_size=32, patch_size=16, **sizes, **label_names(CLASSES))
    transformers.ViTForImageClassification(shape).save_pretrained(tmp_path)
    PROCESSORS["exact"][0].save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"^`teacher` .*: it cannot take images of 48x40 \(") as caught:
        open_teacher(str(tmp_path), CLASSES, STUDENT)
    assert "\n" not in str(caught.value)


def test_a_transformers_network_without_an_image_processor_is_named(tmp_path):
    save_resnet(tmp_path, CLASSES)
    with pytest.raises(CheckpointError, match=r"^`teacher` .*cannot be opened") as caught:
        open_teacher(str(tmp_path), CLASSES, STUDENT)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["MobileViTImageProcessor", "EfficientNetImageProcessor"])
def test_an_image_processor_with_an_unsupported_option_is_named(tmp_path, name):
    """The first reverses the color channels, the second divides by the standard deviation twice."""
    save_resnet(tmp_path, CLASSES)
    getattr(transformers, name)().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=rf"^`teacher` .*{name}.*use another teacher") as caught:
        open_teacher(str(tmp_path), CLASSES, STUDENT)
    assert "\n" not in str(caught.value)


def test_an_image_processor_may_leave_out_normalization(tmp_path):
    network = save_resnet(tmp_path, CLASSES)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size, do_normalize=False).save_pretrained(tmp_path)
    expected = predict(network, torch.from_numpy(LEVELS).permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(open_teacher(str(tmp_path), CLASSES, STUDENT)(PIXELS), expected, rtol=1e-4, atol=1e-5)


def test_a_backbone_without_a_head_is_an_error(tmp_path):
    trained(levit.LevitModel(config())).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"it has no head"):
        open_teacher(str(tmp_path), CLASSES, STUDENT)


def test_a_folder_without_weights_is_an_error(tmp_path):
    with pytest.raises(CheckpointError):
        open_teacher(str(tmp_path), CLASSES, STUDENT)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no such thing"}))
    with pytest.raises(CheckpointError):
        open_teacher(str(tmp_path), CLASSES, STUDENT)
