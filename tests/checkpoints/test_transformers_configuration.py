import json
from dataclasses import replace

import pytest
from hypothesis import given

from levit.checkpoints.levit_folder import write_levit_folder
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.transformers_configuration import (
    architecture_from_config,
    config_from_architecture,
    labels_from_config,
    preprocessing_from_config,
    preprocessor_config,
)
from levit.checkpoints.writing import write_checkpoint
from levit.errors import ConfigError, LevitWarning
from levit.spec.preprocessing import Preprocessing
from tests.architectures import architectures
from tests.conftest import GOLDEN


@given(architecture=architectures())
def test_an_architecture_is_read_from_its_config_json(architecture):
    config = json.loads(json.dumps(config_from_architecture(architecture)))
    assert architecture_from_config(config, num_classifiers=architecture.num_classifiers) == architecture


def test_an_empty_configuration_has_the_documented_defaults():
    architecture = architecture_from_config({}, num_classifiers=1)
    assert architecture.hidden_sizes == (128, 256, 384)
    assert architecture.num_labels == 2


@pytest.mark.parametrize(
    ("config", "resize", "crop"),
    [
        ({}, 256, (224, 224)),
        ({"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}, 256, (224, 224)),
        ({"size": {"shortest_edge": 56}, "crop_size": {"height": 64, "width": 64}}, 64, (64, 64)),
        ({"size": {"height": 240, "width": 200}}, (240, 200), (224, 224)),
        ({"size": 112, "crop_size": 96}, 128, (96, 96)),
        ({"do_resize": False, "do_center_crop": False}, None, None),
    ],
)
def test_sizes_have_the_meaning_of_transformers(config, resize, crop):
    preprocessing = preprocessing_from_config(config, (224, 224))
    assert (preprocessing.resize, preprocessing.crop) == (resize, crop)


def test_steps_can_be_omitted():
    preprocessing = preprocessing_from_config({"do_rescale": False, "do_normalize": False}, (224, 224))
    assert preprocessing == Preprocessing(resize=256, crop=(224, 224), rescale=None, mean=None, std=None)


@pytest.mark.parametrize("size", [{"longest_edge": 5}, {"height": 5}, {"height": 5, "width": -1}, "large", [1, 2, 3]])
def test_an_invalid_size_is_an_error_that_names_the_field(size):
    with pytest.raises(ConfigError, match="size: invalid value"):
        preprocessing_from_config({"size": size}, (224, 224))


CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)


@pytest.mark.parametrize(
    ("name", "config", "resize", "crop", "mean"),
    [
        ("LevitImageProcessorFast", {"size": {"shortest_edge": 224}}, 256, (96, 96), (0.485, 0.456, 0.406)),
        ("LevitFeatureExtractor", {}, 256, (96, 96), (0.485, 0.456, 0.406)),
        ("BitImageProcessor", {"size": {"shortest_edge": 256}}, 256, (224, 224), CLIP_MEAN),
        ("CLIPImageProcessor", {"image_mean": [0, 0, 0]}, 224, (224, 224), (0, 0, 0)),
        ("ViTImageProcessorFast", {"size": {"height": 96, "width": 96}}, (96, 96), None, (0.5, 0.5, 0.5)),
        ("ViTImageProcessor", {"size": 64}, (64, 64), None, (0.5, 0.5, 0.5)),
    ],
)
def test_the_class_of_the_image_processor_determines_resizing_and_defaults(name, config, resize, crop, mean):
    preprocessing = preprocessing_from_config({"image_processor_type": name, **config}, (96, 96))
    assert (preprocessing.resize, preprocessing.crop, preprocessing.mean) == (resize, crop, mean)


@pytest.mark.parametrize("name", ["Bit", "CLIP", "ViT", "Levit"])
def test_defaults_are_those_of_the_classes_of_transformers(name):
    transformers = pytest.importorskip("transformers")
    expected = getattr(transformers, f"{name}ImageProcessor")()
    read = preprocessing_from_config({"image_processor_type": f"{name}ImageProcessor"}, (224, 224))
    assert read.mean == pytest.approx(tuple(expected.image_mean))
    assert read.std == pytest.approx(tuple(expected.image_std))
    assert read.resample == int(expected.resample)
    assert (read.crop is not None) == bool(expected.do_center_crop)
    assert (dict(expected.size).get("shortest_edge") is None) == isinstance(read.resize, tuple)


@pytest.mark.parametrize("field", ["image_processor_type", "feature_extractor_type"])
@pytest.mark.parametrize("name", ["DonutImageProcessor", 3, ["LevitImageProcessor"]])
def test_an_image_processor_of_another_family_is_refused_by_name(field, name):
    with pytest.raises(ConfigError, match=r"image_processor_type: .* is not supported: use LevitImageProcessor, "):
        preprocessing_from_config({field: name}, (224, 224))


def test_more_classes_than_names_can_be_made_for_are_refused():
    with pytest.raises(ConfigError, match="num_labels: 1,000,000,000 is more than 1,000,000 classes"):
        labels_from_config({"num_labels": 10**9})


def test_classes_without_names_are_numbered():
    assert labels_from_config({"num_labels": 3}) == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("write", [write_checkpoint, write_levit_folder])
def test_a_size_that_the_image_processor_cannot_resize_to_is_a_warning(tmp_path, write):
    checkpoint = read_checkpoint(GOLDEN / "tiny" / "transformers")
    changed = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, resize=127))
    with pytest.warns(LevitWarning, match="resize 127 becomes 126, .* use BitImageProcessor with `shortest_edge` 127"):
        write(changed, tmp_path)
    assert read_checkpoint(tmp_path).preprocessing.resize == 126


def test_all_other_sizes_are_read_as_they_were_written():
    for resize in set(range(1, 600)) - set(range(7, 600, 8)):
        preprocessing = Preprocessing(resize=resize, crop=(64, 64))
        assert preprocessing_from_config(preprocessor_config(preprocessing), (64, 64)) == preprocessing
