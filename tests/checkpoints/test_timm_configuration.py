import json
import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image

from levit.checkpoints.conversion_warnings import warn_about_preprocessing
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.timm_configuration import (
    _crop_ratio,
    timm_activation,
    timm_config,
    timm_preprocessing,
    unsupported_timm_preprocessing,
)
from levit.checkpoints.writing import convert, write_checkpoint
from levit.deployment.reference import run_reference
from levit.errors import ConfigError, LevitWarning
from levit.images.transform import normalize, preprocess
from levit.spec.architecture import Architecture
from levit.spec.preprocessing import Preprocessing
from tests.conftest import GOLDEN, random_checkpoint

TINY = GOLDEN / "tiny"


@cache
def configuration(image_size):
    """Checkpoint for an image size, and its configuration for timm."""
    architecture = Architecture(
        image_size=image_size, hidden_sizes=(16, 24, 32), key_dim=(4, 4, 4), depths=(1, 1, 1), num_labels=3
    )
    checkpoint = random_checkpoint(architecture)
    return checkpoint, timm_config(checkpoint, is_convolutional=False)


def configured(image_size, **fields):
    config = json.loads(json.dumps(configuration(image_size)[1]))
    config["pretrained_cfg"].update(fields)
    config["pretrained_cfg"] = {name: value for name, value in config["pretrained_cfg"].items() if value is not ...}
    return config


def preprocess_with_timm(config, image):
    """Image that timm's own code preprocesses by a configuration."""
    data = pytest.importorskip("timm.data")
    from timm.models._pretrained import PretrainedCfg

    settings = PretrainedCfg(**config["pretrained_cfg"]).to_dict()
    transform = data.create_transform(**data.resolve_data_config(pretrained_cfg=settings))
    return transform(image).numpy()


# No case has a margin of 4n + 3 pixels, where timm crops one pixel less on the other side (see the golden README).
@pytest.mark.parametrize(
    ("image_size", "fields"),
    [
        ((64, 64), {"crop_pct": 0.8}),
        ((64, 64), {"crop_pct": 1.0}),
        ((64, 64), {"crop_pct": 0.94, "interpolation": "bilinear"}),
        ((64, 64), {"crop_pct": ...}),
        ((64, 64), {"crop_pct": None, "interpolation": None, "mean": None, "std": [0.5, 0.5, 0.5]}),
        ((64, 64), {"crop_pct": 1.0, "crop_mode": "squash"}),
        ((64, 64), {"crop_pct": 0.8, "crop_mode": "squash"}),
        ((64, 96), {"crop_pct": 1.0, "crop_mode": "squash"}),
        ((64, 96), {"crop_pct": 0.8, "crop_mode": "squash"}),
    ],
)
def test_images_are_preprocessed_as_in_timm(image_size, fields):
    config = configured(image_size, **fields)
    assert unsupported_timm_preprocessing(config, image_size) is None
    preprocessing = timm_preprocessing(config, image_size)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 256, 3), np.uint8))
    normalized = normalize(preprocess(image, preprocessing)[None], preprocessing)[0]
    assert np.abs(normalized - preprocess_with_timm(config, image)).max() < 1e-5


@pytest.mark.parametrize(
    ("image_size", "fields", "match"),
    [
        ((64, 64), {"crop_mode": "border"}, "crop_mode border"),
        ((64, 96), {"crop_mode": "center", "crop_pct": 0.8}, "to cover 80x120"),
    ],
)
def test_unsupported_preprocessing_is_a_warning(tmp_path, image_size, fields, match):
    write_checkpoint(configuration(image_size)[0], tmp_path, to="timm")
    (tmp_path / "config.json").write_text(json.dumps(configured(image_size, **fields)))
    with pytest.warns(LevitWarning, match=match) as caught:
        checkpoint = read_checkpoint(tmp_path)
    assert len(caught) == 1
    assert str(caught[0].message).startswith(f"{tmp_path}: ")
    assert "\n" not in str(caught[0].message)
    assert checkpoint.preprocessing.crop == image_size


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"crop_pct": -1}, "crop_pct: -1 is not a number above 0"),
        ({"crop_pct": "all"}, "crop_pct: 'all' is not a number above 0"),
        ({"interpolation": "random"}, "interpolation: unknown value 'random': use one of nearest"),
        ({"mean": 0.5}, "mean: 0.5 is not a list with one number per channel"),
    ],
)
def test_an_invalid_field_is_named(fields, match):
    with pytest.raises(ConfigError, match=match):
        timm_preprocessing(configured((64, 64), **fields), (64, 64))


@pytest.mark.parametrize(
    ("layer", "activation"),
    [
        ("hard_swish", "hardswish"), ("hardswish", "hardswish"), ("silu", "silu"), ("Swish", "silu"), ("gelu", "gelu"),
        ("gelu_tanh", "gelu_tanh"),
    ],
)  # fmt: skip
def test_every_name_of_a_supported_activation_is_read(layer, activation):
    config = {"architecture": "levit_128s", "model_args": {"act_layer": layer}}
    assert timm_activation(config) == activation


@pytest.mark.parametrize("layer", ["mish", ["gelu"], 3])
def test_an_activation_that_is_not_supported_is_an_error(tmp_path, layer):
    shutil.copytree(TINY / "timm", tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_args"]["act_layer"] = layer
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"act_layer: unknown value .*: use one of hard_swish, silu, gelu, gelu_tanh"):
        read_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path, activation="gelu").architecture.activation == "gelu"


def test_fields_at_the_top_level_of_old_files_are_read():
    config = {"architecture": "levit_128s", "crop_pct": 1.0, "interpolation": "bilinear"}
    assert timm_preprocessing(config, (64, 64)) == Preprocessing(resize=64, crop=(64, 64), resample=2)


@pytest.mark.parametrize("resize", [*range(50, 110, 7), 224, (64, 64), (71, 71), (80, 80), (91, 91)])
def test_preprocessing_is_read_from_the_written_configuration(resize):
    checkpoint, _ = configuration((64, 64))
    preprocessing = Preprocessing(resize=resize, crop=(64, 64), resample=2, mean=(0.5, 0.4, 0.3), std=(1, 1, 0.5))
    config = timm_config(replace(checkpoint, preprocessing=preprocessing), is_convolutional=True)
    assert timm_preprocessing(json.loads(json.dumps(config)), (64, 64)) == preprocessing


@pytest.mark.parametrize("resize", range(200, 300))
def test_every_size_has_a_short_ratio(resize):
    ratio = _crop_ratio((224, 224), (resize, resize))
    assert int(224 / ratio) == resize
    assert len(str(ratio)) <= 5


@pytest.mark.parametrize(
    "fields",
    [
        {"crop_pct": 0.9},
        {"crop_pct": 1.0},
        {"crop_pct": 0.875, "interpolation": "bilinear"},
        {"crop_mode": "squash", "crop_pct": 1.0},
        {"crop_mode": "squash", "crop_pct": 0.9, "mean": [0, 0, 0], "std": [1, 1, 1]},
    ],
)
def test_converting_to_transformers_and_back_keeps_timm_s_configuration(tmp_path, fields):
    folder = shutil.copytree(TINY / "timm", tmp_path / "timm")
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= fields
    (folder / "config.json").write_text(json.dumps(config))
    in_transformers = convert(folder, tmp_path / "transformers", to="transformers")
    from_transformers = convert(in_transformers, tmp_path / "timm-conv", to="timm-conv")
    assert read_checkpoint(in_transformers).preprocessing == read_checkpoint(folder).preprocessing
    assert read_checkpoint(from_transformers).preprocessing == read_checkpoint(folder).preprocessing
    written = json.loads((from_transformers / "config.json").read_text())["pretrained_cfg"]
    assert {name: written[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("changes", "to", "match"),
    [
        ({"resize": 124}, "facebook", "resize 124 becomes 128"),
        ({"resize": 124}, "mmpretrain", "resize 124 becomes 128"),
        ({"resize": None}, "timm", "resize None becomes 112"),
        ({"rescale": 1.0}, "timm", "rescale 1.0 becomes 0.0039"),
        ({"resize": (120, 130)}, "timm", r"resize 120x130 becomes "),
        ({"resample": 2, "mean": None, "std": None}, "facebook-conv", r"resample 2 becomes 3, mean .* std "),
    ],
)
def test_preprocessing_that_a_library_s_files_cannot_contain_is_a_warning(tmp_path, changes, to, match):
    checkpoint = read_checkpoint(TINY / "transformers")
    changed = replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, **changes))
    target = tmp_path / ("out" if to in ("transformers", "timm") else "out.pth")
    with pytest.warns(LevitWarning, match=match) as caught:
        write_checkpoint(changed, target, to=to)
    assert len(caught) == 1
    assert str(caught[0].message).startswith(f"{target}: ")
    assert target.exists()


@pytest.mark.parametrize("changes", [{"resize": (112, 112), "crop": None}, {"mean": None, "std": None}])
def test_equivalent_preprocessing_is_no_warning(tmp_path, changes):
    checkpoint = read_checkpoint(TINY / "transformers")
    for to in ("transformers", "timm"):
        write_checkpoint(
            replace(checkpoint, preprocessing=replace(checkpoint.preprocessing, **changes)), tmp_path / to, to=to
        )


def test_equal_preprocessing_is_no_warning():
    checkpoint = read_checkpoint(TINY / "transformers")
    warn_about_preprocessing(checkpoint, checkpoint.preprocessing, "out")


@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_for_other_channels_than_rgb_is_read_with_a_warning(tmp_path, channels):
    architecture = Architecture(
        num_channels=channels, image_size=64, hidden_sizes=(16, 24, 32), key_dim=(4, 4, 4), depths=(1, 1, 1),
        num_labels=3,
    )  # fmt: skip
    write_checkpoint(random_checkpoint(architecture), tmp_path, to="timm")
    config = json.loads((tmp_path / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.449] * channels, "std": [0.226] * channels}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.warns(LevitWarning, match="other channels than RGB"):
        checkpoint = read_checkpoint(tmp_path)
    assert checkpoint.architecture.num_channels == channels
    assert checkpoint.preprocessing.mean == (0.485, 0.456, 0.406)


def test_values_for_another_number_of_channels_than_the_network_has_are_an_error():
    with pytest.raises(ConfigError, match=r"mean: .* is not one number for each of the three channels"):
        timm_preprocessing(configured((64, 64), mean=[0.5]), (64, 64))


@pytest.mark.parametrize("name", ["levit_128s", "levit_conv_128s"])
def test_weights_that_timm_has_fused_are_read(tmp_path, name):
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    from timm.utils import reparameterize_model

    sizes = {"embed_dim": (32, 48, 64), "key_dim": 8, "num_heads": (2, 3, 4), "depth": (1, 1, 1)}
    torch.manual_seed(0)
    network = timm.create_model(name, **sizes, num_classes=10, img_size=112).eval().requires_grad_(False)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            for tensor in (layer.running_var, layer.weight, layer.bias, layer.running_mean):
                tensor.uniform_(0.5, 1.5)
    torch.save(reparameterize_model(network).state_dict(), tmp_path / "fused.pth")
    checkpoint = read_checkpoint(tmp_path / "fused.pth")
    assert checkpoint.source.dialect == {"levit_128s": "timm-fused", "levit_conv_128s": "timm-conv-fused"}[name]
    pixels = torch.randn(2, 3, 112, 112)
    expected = network(pixels).numpy()
    logits = run_reference(checkpoint.weights, checkpoint.architecture, pixels.numpy())["logits"]
    assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max()


def test_names_for_another_number_of_classes_are_an_error_that_names_their_field(tmp_path):
    shutil.copytree(TINY / "timm", tmp_path / "names")
    config = json.loads((TINY / "timm" / "config.json").read_text()) | {"label_names": ["cat", "dog"]}
    (tmp_path / "names" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"label_names has 2 names for 10 classes$"):
        read_checkpoint(tmp_path / "names")
