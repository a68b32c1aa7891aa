"""Initial weights of a student, and the checkpoint files that it writes."""

import json
import os

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from torch import nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

import levit
from levit.checkpoints.json_files import read_json
from levit.checkpoints.timm_configuration import is_timm
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.errors import CheckpointError, ConfigError
from levit.images.transform import read_and_preprocess
from levit.spec.preprocessing import Preprocessing
from levit.training.student import HeadLogits, Student, read_logits
from tests.training.tiny import CLASSES, TIMM_NETWORK, by_class, photo, predict, save_levit, trained

OTHERS = ("emu", "fox")
FILES = {"config.json", "model.safetensors", "preprocessor_config.json"}
PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def student(build, checkpoint):
    """A student whose weights differ from those of its checkpoint."""
    student = build(checkpoint)
    trained(student.network, seed=5)
    return student


def test_heads_are_kept_for_the_same_labels_in_another_order(build, checkpoint):
    student = build(checkpoint, CLASSES[::-1])
    before = predict(levit.load_checkpoint(str(checkpoint)), PIXELS)
    result = by_class(predict(student.network, PIXELS), student.classes)
    for name, logits in by_class(before, CLASSES).items():
        assert torch.equal(result[name], logits)
    assert tuple(student.network.config.id2label.values()) == student.classes


@pytest.mark.parametrize("classes", [OTHERS, ("bear", "cat", "emu"), (*CLASSES, "emu")])
def test_other_classes_get_a_new_head_on_the_same_backbone(build, checkpoint, classes):
    student = build(checkpoint, classes)
    weights = levit.read_checkpoint(str(checkpoint)).weights
    for name, tensor in student.network.state_dict().items():
        if name.startswith("classifier.linear"):
            assert tensor.shape[0] == len(classes)
        elif not name.startswith("classifier"):
            np.testing.assert_array_equal(tensor, weights[name])
    assert student.classes == classes
    assert student.network.config.num_labels == len(classes)


def test_a_missing_distillation_head_starts_as_a_copy_of_the_classifier(build, checkpoint):
    student = build(checkpoint, teacher="run")
    assert isinstance(student.network, levit.LevitForImageClassificationWithTeacher)
    with torch.no_grad():
        result = read_logits(student.network.eval()(PIXELS))
    assert torch.equal(result.cls_logits, result.distillation_logits)
    torch.testing.assert_close(result.logits, predict(levit.load_checkpoint(str(checkpoint)), PIXELS))


@pytest.mark.parametrize("teacher", ["run", None])
def test_both_heads_of_the_same_classes_are_kept_with_a_teacher_and_without(build, tmp_path, teacher):
    folder = save_levit(tmp_path / "two", CLASSES, kind=levit.LevitForImageClassificationWithTeacher)
    with torch.no_grad():
        before = levit.load_checkpoint(str(folder))(PIXELS)
        after = build(folder, teacher=teacher).network.eval()(PIXELS)
    assert torch.equal(before.cls_logits, after.cls_logits)
    assert torch.equal(before.distillation_logits, after.distillation_logits)


def test_a_network_of_two_heads_has_one_for_other_classes_without_a_teacher(build, tmp_path):
    folder = save_levit(tmp_path / "two", CLASSES, kind=levit.LevitForImageClassificationWithTeacher)
    assert isinstance(build(folder, ("emu", "owl")).network, levit.LevitForImageClassification)
    assert isinstance(build(folder, from_scratch=True).network, levit.LevitForImageClassification)


def test_the_distillation_settings_are_in_the_configuration(build, checkpoint):
    values = {"teacher": "run", "distillation": "soft", "alpha": 0.3, "tau": 2.0}
    config = build(checkpoint, **values).network.config
    assert (config.distillation_type, config.distillation_alpha, config.distillation_tau) == ("soft", 0.3, 2.0)


@pytest.mark.parametrize("image_size", [48, 64])
def test_another_image_size_interpolates_the_attention_biases(build, checkpoint, image_size):
    student = build(checkpoint, image_size=image_size)
    expected = resize_checkpoint(levit.read_checkpoint(str(checkpoint)), (image_size, image_size))
    for name, tensor in student.network.state_dict().items():
        np.testing.assert_array_equal(tensor, expected.weights[name])
    assert student.image_size == (image_size, image_size)
    assert student.preprocessing == expected.preprocessing
    assert predict(student.network, torch.zeros(2, 3, image_size, image_size)).shape == (2, 3)


def test_the_drop_path_rate_is_that_of_the_checkpoint_unless_given(build, tmp_path):
    folder = save_levit(tmp_path / "dropping", CLASSES, drop_path_rate=0.2)
    assert build(folder).network.config.drop_path_rate == 0.2
    assert build(folder, drop_path=0.0).network.config.drop_path_rate == 0


@pytest.mark.parametrize(("name", "rate"), [("levit-128s", 0), ("LeViT-384", 0.1)])
def test_a_published_size_from_scratch_has_its_published_configuration(build, name, rate):
    student = build(name, from_scratch=True, image_size=32)
    expected = levit.LevitConfig.from_variant(name)
    assert student.network.config.hidden_sizes == expected.hidden_sizes
    assert student.network.config.drop_path_rate == rate
    assert (student.image_size, student.preprocessing.resize, student.classes) == ((32, 32), 36, CLASSES)


def test_a_published_size_from_scratch_takes_another_patch_size(build):
    assert build("levit-128s", from_scratch=True).image_size == (224, 224)
    student = build("levit-128s", from_scratch=True, image_size=32, patch_size=8)
    assert student.network.config.patch_size == 8
    assert student.network.levit.patch_embeddings is not None


def test_a_checkpoint_from_scratch_gives_its_architecture_but_no_weights(build, checkpoint):
    student = build(checkpoint, from_scratch=True)
    weights = levit.read_checkpoint(str(checkpoint)).weights
    for name, tensor in student.network.state_dict().items():
        assert tensor.shape == weights[name].shape
        if tensor.ndim > 1 and not name.endswith("attention_biases"):
            assert not np.array_equal(tensor, weights[name])
    assert student.network.config.hidden_sizes == [16, 24, 32]


def test_the_configuration_describes_multi_label_classification(build, checkpoint):
    student = build(checkpoint, is_multi_label=True)
    assert student.is_multi_label
    assert student.network.config.problem_type == "multi_label_classification"


def test_a_levit_in_the_format_of_timm_may_have_a_teacher(build, checkpoint, tmp_path):
    levit.convert(checkpoint, tmp_path / "timm", to="timm")
    assert is_timm(read_json(tmp_path / "timm" / "config.json"))
    with torch.no_grad():
        logits = read_logits(build(tmp_path / "timm", teacher="run").network.eval()(PIXELS))
    assert logits.distillation_logits is not None


def test_an_invalid_patch_size_is_a_config_error(build):
    with pytest.raises(ConfigError, match="patch_size"):
        build("levit-128s", from_scratch=True, patch_size=5)


def test_missing_weights_are_a_checkpoint_error(build, tmp_path):
    with pytest.raises(CheckpointError):
        build(tmp_path / "nothing")


def test_logits_are_read_from_every_kind_of_output():
    one, two, mean = (torch.full((1, 2), value) for value in (1.0, 3.0, 2.0))
    assert read_logits(one) == HeadLogits(one, one, None)
    single = transformers.modeling_outputs.ImageClassifierOutput(logits=one)
    assert read_logits(single) == HeadLogits(one, one, None)

    class Both:
        logits, cls_logits, distillation_logits = mean, one, two

    assert read_logits(Both()) == HeadLogits(mean, one, two)


@pytest.mark.parametrize("teacher", [None, "run"])
@torch.no_grad()
def test_a_saved_student_loads_in_stock_transformers(build, checkpoint, tmp_path, teacher):
    student = build(checkpoint, teacher=teacher, drop_path=0.1)
    trained(student.network, seed=5)
    expected = predict(student.network, PIXELS)
    student.save(tmp_path / "run", student.network.state_dict())
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    name = "LevitForImageClassification" + ("WithTeacher" if teacher else "")
    stock, report = getattr(transformers, name).from_pretrained(tmp_path / "run", output_loading_info=True)
    assert type(stock).__module__.startswith("transformers.")
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    torch.testing.assert_close(stock.eval()(PIXELS).logits, expected, rtol=1e-4, atol=1e-5)
    assert stock.config.id2label == dict(enumerate(CLASSES))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["architectures"] == [name]
    assert transformers.LevitImageProcessor.from_pretrained(tmp_path / "run").crop_size["height"] == 32


@torch.no_grad()
def test_a_saved_student_loads_in_levit(student, tmp_path):
    student.save(tmp_path, student.network.state_dict())
    assert torch.equal(levit.load_checkpoint(str(tmp_path))(PIXELS).logits, predict(student.network, PIXELS))
    assert levit.read_checkpoint(str(tmp_path)).preprocessing == student.preprocessing
    processor = levit.LevitImageProcessor.from_pretrained(tmp_path)
    image = photo(3)
    pixels = processor(image, return_tensors="pt")["pixel_values"]
    scores = predict(student.network, pixels).softmax(dim=-1)[0]
    result = levit.Classifier(str(tmp_path))(image)
    assert {label.name: pytest.approx(label.score, abs=2e-3) for label in result.top(3)} == by_class(
        scores[None].numpy(), CLASSES
    )


def test_the_saved_weights_are_the_given_ones(student, tmp_path):
    average = {name: torch.full_like(tensor, 2) for name, tensor in student.network.state_dict().items()}
    student.save(tmp_path, average)
    assert all((array == 2).all() for array in levit.read_checkpoint(str(tmp_path)).weights.values())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("model", ["levit-128s", TIMM_NETWORK])
def test_the_saved_files_have_the_same_permissions(build, model, tmp_path):
    student = build(model, from_scratch=True, image_size=64)
    student.save(tmp_path / "run", student.network.state_dict())
    assert len({file.stat().st_mode for file in (tmp_path / "run").iterdir()}) == 1


@pytest.mark.parametrize("model", ["levit-128s", TIMM_NETWORK])
def test_a_student_of_padded_crops_has_a_preprocessing_without_cropping(build, model, tmp_path):
    student = build(model, from_scratch=True, image_size=64, crop="padded")
    student.save(tmp_path, student.network.state_dict())
    assert (student.preprocessing.resize, student.image_size) == ((64, 64), (64, 64))
    assert build(tmp_path).preprocessing == student.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    expected = read_and_preprocess(pixels, student.preprocessing, exact=True)
    if model == TIMM_NETWORK:
        settings = timm.data.resolve_data_config({}, model=timm.create_model(f"local-dir:{tmp_path}"))
        result = timm.data.create_transform(**settings)(Image.fromarray(pixels)).permute(1, 2, 0).numpy()
        expected = expected / 255 * 2 - 1  # its mean and std are 0.5
    else:
        processor = transformers.LevitImageProcessorPil.from_pretrained(tmp_path, do_rescale=False, do_normalize=False)
        result = processor(pixels, input_data_format="channels_last")["pixel_values"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@torch.no_grad()
def test_a_network_that_stock_transformers_cannot_compute_is_saved_for_levit(build, tmp_path):
    student = build("levit-128s", from_scratch=True, image_size=32, patch_size=8)
    trained(student.network)
    student.save(tmp_path, student.network.state_dict())
    assert torch.equal(levit.load_checkpoint(str(tmp_path))(PIXELS).logits, predict(student.network, PIXELS))
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] not in CONFIG_MAPPING_NAMES


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_failed_save_leaves_the_old_files_unchanged(student, tmp_path):
    state = dict(student.network.state_dict())
    student.save(tmp_path, state)
    before = contents(tmp_path)
    with pytest.raises(AttributeError):
        student.save(tmp_path, state | {"classifier.linear.bias": "no tensor"})
    assert contents(tmp_path) == before


def test_an_interrupted_save_leaves_the_old_files_unchanged(student, tmp_path):
    student.save(tmp_path, student.network.state_dict())
    before = contents(tmp_path)

    def interrupted(folder):
        (folder / "config.json").write_text("{")
        raise KeyboardInterrupt

    student.network.config.save_pretrained = interrupted
    with pytest.raises(KeyboardInterrupt):
        student.save(tmp_path, student.network.state_dict())
    assert contents(tmp_path) == before


def test_the_configuration_is_replaced_last(student, tmp_path):
    (tmp_path / "run" / "config.json" / "obstacle").mkdir(parents=True)  # a file cannot replace a folder
    with pytest.raises(OSError, match=r"config\.json"):
        student.save(tmp_path / "run", student.network.state_dict())
    (tmp_path / "run" / "config.json" / "obstacle").rmdir()
    (tmp_path / "run" / "config.json").rmdir()
    student.save(tmp_path / "whole", student.network.state_dict())
    expected = contents(tmp_path / "whole")
    del expected["config.json"]
    assert contents(tmp_path / "run") == expected


def test_a_preprocessing_without_a_size_is_an_error_that_names_the_parameter():
    student = Student(
        network=nn.Identity(),
        preprocessing=Preprocessing(resize=32, crop=None),
        classes=CLASSES,
        is_multi_label=False,
    )
    with pytest.raises(ConfigError, match=r"give `image_size`"):
        _ = student.image_size


def test_the_patch_size_of_a_checkpoint_cannot_be_changed(build, checkpoint):
    with pytest.raises(ConfigError, match=r"^patch_size is fixed in .*: use a published size: levit-128s"):
        build(checkpoint, from_scratch=True, patch_size=8)
