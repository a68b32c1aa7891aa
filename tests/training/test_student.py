"""What learns begins with the weights it was given, and is saved as others read it."""

import json

import numpy as np
import pytest
import timm
import torch
import transformers
from PIL import Image
from torch import nn
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

import levit
from levit.checkpoints.timm_configuration import is_timm
from levit.checkpoints.weight_files import read_json
from levit.deployment.bias_interpolation import resize_checkpoint
from levit.errors import CheckpointError, ConfigError
from levit.images.transform import read_and_preprocess
from levit.spec.preprocessing import Preprocessing
from levit.training import student as module
from levit.training.student import HeadLogits, read_logits
from tests.training.tiny import CLASSES, TIMM_NETWORK, photo, save_levit, trained

OTHERS = ("emu", "fox")
FILES = {"config.json", "model.safetensors", "preprocessor_config.json"}
PIXELS = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def learned(build, checkpoint):
    """One that has learned something, and its state."""
    student = build(checkpoint)
    trained(student.network, seed=5)
    return student


@torch.no_grad()
def answers(network, pixels=PIXELS):
    return read_logits(network.eval()(pixels)).logits


def by_class(logits, classes):
    return {name: logits[:, place] for place, name in enumerate(classes)}


def test_heads_are_kept_where_the_labels_are_the_same_in_another_order(build, checkpoint):
    student = build(checkpoint, CLASSES[::-1])
    before = answers(levit.load_checkpoint(str(checkpoint)))
    found = by_class(answers(student.network), student.classes)
    for name, logits in by_class(before, CLASSES).items():
        assert torch.equal(found[name], logits)
    assert tuple(student.network.config.id2label.values()) == student.classes


@pytest.mark.parametrize("classes", [OTHERS, ("bear", "cat", "emu"), (*CLASSES, "emu")])
def test_other_classes_get_a_new_head_on_the_same_body(build, checkpoint, classes):
    student = build(checkpoint, classes)
    weights = levit.read_checkpoint(str(checkpoint)).weights
    for name, tensor in student.network.state_dict().items():
        if name.startswith("classifier.linear"):
            assert tensor.shape[0] == len(classes)
        elif not name.startswith("classifier"):
            np.testing.assert_array_equal(tensor, weights[name])
    assert student.classes == classes
    assert student.network.config.num_labels == len(classes)


def test_the_head_that_a_teacher_teaches_begins_as_the_first(build, checkpoint):
    student = build(checkpoint, teacher="run")
    assert isinstance(student.network, levit.LevitForImageClassificationWithTeacher)
    with torch.no_grad():
        found = read_logits(student.network.eval()(PIXELS))
    assert torch.equal(found.cls_logits, found.distillation_logits)
    torch.testing.assert_close(found.logits, answers(levit.load_checkpoint(str(checkpoint))))


def test_two_heads_are_kept_or_the_first_of_them(build, tmp_path):
    folder = save_levit(tmp_path / "two", CLASSES, kind=levit.LevitForImageClassificationWithTeacher)
    with torch.no_grad():
        before = levit.load_checkpoint(str(folder))(PIXELS)
        after = build(folder, teacher="run").network.eval()(PIXELS)
    assert torch.equal(before.cls_logits, after.cls_logits)
    assert torch.equal(before.distillation_logits, after.distillation_logits)
    assert torch.equal(answers(build(folder).network), before.cls_logits)


def test_what_a_teacher_does_is_written_into_the_configuration(build, checkpoint):
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
    assert answers(student.network, torch.zeros(2, 3, image_size, image_size)).shape == (2, 3)


def test_drop_path_is_that_of_the_file_unless_it_is_given(build, tmp_path):
    folder = save_levit(tmp_path / "dropping", CLASSES, drop_path_rate=0.2)
    assert build(folder).network.config.drop_path_rate == 0.2
    assert build(folder, drop_path=0.0).network.config.drop_path_rate == 0


@pytest.mark.parametrize(("name", "rate"), [("levit-128s", 0), ("LeViT-384", 0.1)])
def test_a_size_from_scratch_is_the_published_one(build, name, rate):
    student = build(name, from_scratch=True, image_size=32)
    expected = levit.LevitConfig.from_variant(name)
    assert student.network.config.hidden_sizes == expected.hidden_sizes
    assert student.network.config.drop_path_rate == rate
    assert (student.image_size, student.preprocessing.resize, student.classes) == ((32, 32), 36, CLASSES)


def test_from_scratch_at_its_usual_size_and_with_a_finer_stem(build):
    assert build("levit-128s", from_scratch=True).image_size == (224, 224)
    student = build("levit-128s", from_scratch=True, image_size=32, patch_size=8)
    assert student.network.config.patch_size == 8
    assert student.network.levit.patch_embeddings is not None


def test_a_file_from_scratch_gives_its_shape_and_no_weight(build, checkpoint):
    student = build(checkpoint, from_scratch=True)
    weights = levit.read_checkpoint(str(checkpoint)).weights
    for name, tensor in student.network.state_dict().items():
        assert tensor.shape == weights[name].shape
        if tensor.ndim > 1 and not name.endswith("attention_biases"):
            assert not np.array_equal(tensor, weights[name])
    assert student.network.config.hidden_sizes == [16, 24, 32]


def test_several_labels_are_written_into_the_configuration(build, checkpoint):
    student = build(checkpoint, is_multi_label=True)
    assert student.is_multi_label
    assert student.network.config.problem_type == "multi_label_classification"


def test_a_levit_by_its_name_in_timm_may_be_taught(build, checkpoint, tmp_path):
    levit.convert(checkpoint, tmp_path / "timm", to="timm")
    assert is_timm(read_json(tmp_path / "timm" / "config.json"))
    with torch.no_grad():
        logits = read_logits(build(tmp_path / "timm", teacher="run").network.eval()(PIXELS))
    assert logits.distillation_logits is not None


def test_a_stem_that_does_not_exist_is_a_config_error(build):
    with pytest.raises(ConfigError, match="patch_size"):
        build("levit-128s", from_scratch=True, patch_size=5)


def test_weights_that_are_not_there_are_a_checkpoint_error(build, tmp_path):
    with pytest.raises(CheckpointError):
        build(tmp_path / "nothing")


def test_logits_are_found_in_whatever_a_network_returns():
    one, two, mean = (torch.full((1, 2), value) for value in (1.0, 3.0, 2.0))
    assert read_logits(one) == HeadLogits(one, one, None)
    single = transformers.modeling_outputs.ImageClassifierOutput(logits=one)
    assert read_logits(single) == HeadLogits(one, one, None)

    class Both:
        logits, cls_logits, distillation_logits = mean, one, two

    assert read_logits(Both()) == HeadLogits(mean, one, two)


@pytest.mark.parametrize("teacher", [None, "run"])
@torch.no_grad()
def test_what_is_saved_loads_in_stock_transformers(build, checkpoint, tmp_path, teacher):
    student = build(checkpoint, teacher=teacher, drop_path=0.1)
    trained(student.network, seed=5)
    expected = answers(student.network)
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
def test_what_is_saved_loads_in_levit(learned, tmp_path):
    learned.save(tmp_path, learned.network.state_dict())
    assert torch.equal(levit.load_checkpoint(str(tmp_path))(PIXELS).logits, answers(learned.network))
    assert levit.read_checkpoint(str(tmp_path)).preprocessing == learned.preprocessing
    processor = levit.LevitImageProcessor.from_pretrained(tmp_path)
    image = photo(3)
    pixels = processor(image, return_tensors="pt")["pixel_values"]
    scores = answers(learned.network, pixels).softmax(dim=-1)[0]
    found = levit.Classifier(str(tmp_path))(image)
    assert {label.name: pytest.approx(label.score, abs=2e-3) for label in found.top(3)} == by_class(
        scores[None].numpy(), CLASSES
    )


def test_the_weights_that_are_saved_are_those_that_were_given(learned, tmp_path):
    average = {name: torch.full_like(tensor, 2) for name, tensor in learned.network.state_dict().items()}
    learned.save(tmp_path, average)
    assert all((array == 2).all() for array in levit.read_checkpoint(str(tmp_path)).weights.values())


@pytest.mark.parametrize("model", ["levit-128s", TIMM_NETWORK])
def test_what_learns_from_whole_images_is_judged_and_saved_with_them(build, model, tmp_path):
    student = build(model, from_scratch=True, image_size=64, crop="padded")
    student.save(tmp_path, student.network.state_dict())
    assert (student.preprocessing.resize, student.image_size) == ((64, 64), (64, 64))
    assert build(tmp_path).preprocessing == student.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    expected = read_and_preprocess(pixels, student.preprocessing, exact=True)
    if model == TIMM_NETWORK:
        settings = timm.data.resolve_data_config({}, model=timm.create_model(f"local-dir:{tmp_path}"))
        found = timm.data.create_transform(**settings)(Image.fromarray(pixels)).permute(1, 2, 0).numpy()
        expected = expected / 255 * 2 - 1  # its mean and std are 0.5
    else:
        processor = transformers.LevitImageProcessorPil.from_pretrained(tmp_path, do_rescale=False, do_normalize=False)
        found = processor(pixels, input_data_format="channels_last")["pixel_values"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@torch.no_grad()
def test_a_network_that_stock_cannot_compute_is_saved_for_levit(build, tmp_path):
    student = build("levit-128s", from_scratch=True, image_size=32, patch_size=8)
    trained(student.network)
    student.save(tmp_path, student.network.state_dict())
    assert torch.equal(levit.load_checkpoint(str(tmp_path))(PIXELS).logits, answers(student.network))
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] not in CONFIG_MAPPING_NAMES


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_a_killed_process_left_behind_is_gone_after_the_next_save(learned, tmp_path):
    state = learned.network.state_dict()
    learned.save(tmp_path, state)
    (tmp_path / ".saving").mkdir()
    (tmp_path / ".saving" / "half").write_bytes(b"half")
    learned.save(tmp_path, state)
    assert contents(tmp_path).keys() == FILES


def test_a_save_that_fails_leaves_the_old_files_whole(learned, tmp_path):
    state = dict(learned.network.state_dict())
    learned.save(tmp_path, state)
    before = contents(tmp_path)
    with pytest.raises(AttributeError):
        learned.save(tmp_path, state | {"classifier.linear.bias": "no tensor"})
    assert contents(tmp_path) == before


def test_a_save_that_is_interrupted_while_it_writes_leaves_the_old_files_whole(learned, tmp_path, monkeypatch):
    learned.save(tmp_path, learned.network.state_dict())
    before = contents(tmp_path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learned.save(tmp_path, learned.network.state_dict())
    assert contents(tmp_path) == before


def test_every_file_is_the_old_or_the_new_one(learned, tmp_path, monkeypatch):
    learned.save(tmp_path, learned.network.state_dict())
    before = contents(tmp_path)
    trained(learned.network, seed=9)
    replace, done = module.Path.replace, []

    def fails_at_the_second(path, target):
        if done:
            raise OSError(28, "No space left on device")
        done.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(module.Path, "replace", fails_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        learned.save(tmp_path, learned.network.state_dict())
    monkeypatch.undo()
    learned.save(tmp_path / "whole", learned.network.state_dict())
    new = contents(tmp_path / "whole")
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (new if name in done else before)[name]


def test_a_model_of_no_size_asks_for_one():
    student = module.Student(
        network=nn.Identity(),
        preprocessing=Preprocessing(resize=32, crop=None),
        classes=CLASSES,
        is_multi_label=False,
    )
    with pytest.raises(ConfigError, match=r"give --image-size"):
        _ = student.image_size


def test_classes_of_imagenet_are_known_by_their_other_names(build, tmp_path):
    folder = save_levit(tmp_path / "fish", ("goldfish, Carassius auratus", "tench, Tinca tinca"))
    student = build(folder, ("n01440764", "n01443537"))
    assert student.classes == ("goldfish, Carassius auratus", "tench, Tinca tinca")
    assert torch.equal(answers(student.network), answers(levit.load_checkpoint(str(folder))))


def test_a_network_that_has_its_patch_size_keeps_it(build, checkpoint):
    with pytest.raises(ConfigError, match=r"--patch-size: .* has its own: give a size, levit-128s"):
        build(checkpoint, from_scratch=True, patch_size=8)
