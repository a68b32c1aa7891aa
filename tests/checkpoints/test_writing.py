import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from itertools import permutations

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings

import levit
from levit.checkpoints.dialects import BATCH_COUNT, WRITABLE
from levit.checkpoints.from_model import checkpoint_from_model
from levit.checkpoints.reading import read_checkpoint
from levit.checkpoints.writing import arrays_in, convert, write_checkpoint
from levit.deployment.reference import run_reference
from levit.errors import CheckpointError, ConfigError, LevitWarning
from levit.spec.variants import ALL_VARIANTS, TIMM_VARIANTS, VARIANTS
from tests.architectures import architectures
from tests.conftest import GOLDEN, agrees, random_checkpoint, relative

TINY = GOLDEN / "tiny"
EXPECTED = np.load(TINY / "expected.npz")
NAMES = [dialect.name for dialect in WRITABLE]
FILES = {
    "transformers": "transformers",
    "old transformers": "transformers-legacy",
    "old pickle": "transformers-legacy/pytorch_model.bin",
    "timm": "timm",
    "timm-conv": "timm-conv",
    "facebook": "facebook.pth",
    "facebook-conv": "facebook-conv.pth",
    "mmpretrain": "mmpretrain.pth",
    "mmpretrain without state_dict": "mmpretrain-flat.pth",
    "MindSpore": "../frameworks/mindspore-plain.ckpt",
    "MindSpore's training": "../frameworks/mindspore-cb.ckpt",
}


def target(folder, dialect, name="out"):
    suffixes = {"facebook": ".pth", "mmpretrain": ".pth", "mindspore": ".ckpt"}
    return folder / (name + next((suffix for start, suffix in suffixes.items() if dialect.startswith(start)), ""))


def assert_same_weights(actual, expected, *, counts_batches=True):
    """Check that weights are equal, except the numbers of batches of batch norms, if a file lacked them."""
    assert actual.weights.keys() == expected.weights.keys()
    for name, array in expected.weights.items():
        if not counts_batches and name.endswith(BATCH_COUNT):
            array = np.zeros_like(array)
        assert np.array_equal(actual.weights[name], array), name
        assert actual.weights[name].dtype == array.dtype, name


@pytest.mark.parametrize("file", FILES.values(), ids=FILES)
def test_equal_weights_are_read_from_files_of_all_dialects(file):
    checkpoint = read_checkpoint(TINY / file)
    counts_batches = not file.endswith(".ckpt")
    assert_same_weights(checkpoint, read_checkpoint(TINY / "transformers"), counts_batches=counts_batches)
    assert checkpoint.architecture == read_checkpoint(TINY / "transformers").architecture


@pytest.mark.parametrize(
    ("file", "dialect"), [("facebook-fused.pth", "facebook-fused"), ("mmpretrain-deploy.pth", "mmpretrain-fused")]
)
def test_fused_files_are_read_with_identity_batch_norms(file, dialect):
    checkpoint = read_checkpoint(TINY / file)
    assert checkpoint.source.dialect == dialect
    logits = run_reference(checkpoint.weights, checkpoint.architecture, np.load(TINY / "input.npy"))["logits"]
    assert relative(logits, EXPECTED["logits_f64"]) < 1e-4  # fused in single precision


@pytest.mark.parametrize("heads", ["two heads", "one head"])
@pytest.mark.parametrize(("first", "second"), list(permutations(NAMES, 2)))
def test_converting_between_every_two_dialects_and_back_is_exact(tmp_path, heads, first, second):
    source = TINY / ("transformers" if heads == "two heads" else "transformers-single")
    start = target(tmp_path, first, "a")
    convert(source, start, to=first)
    middle = convert(start, target(tmp_path, second, "b"), to=second)
    end = convert(middle, target(tmp_path, first, "c"), to=first)
    assert read_checkpoint(middle).source.dialect == second
    counts_batches = not any(name.startswith("mindspore") for name in (first, second))
    assert_same_weights(read_checkpoint(end), read_checkpoint(source), counts_batches=counts_batches)


@given(architecture=architectures())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("dialect", WRITABLE, ids=NAMES)
def test_any_network_has_keys_in_every_dialect(dialect, architecture):
    checkpoint = random_checkpoint(architecture)
    arrays = arrays_in(checkpoint, dialect)
    assert len(arrays) >= sum(map(dialect.stores, checkpoint.weights))


@pytest.mark.parametrize("dialect", ["facebook", "facebook-conv", "mmpretrain"])
def test_a_written_file_equals_that_of_the_library(tmp_path, dialect):
    """Keys, order, shapes, types and values are equal, including the offset tables."""
    convert(TINY / "transformers", tmp_path / "out.pth", to=dialect)
    level = "state_dict" if dialect == "mmpretrain" else "model"
    written = torch.load(tmp_path / "out.pth", weights_only=True)[level]
    expected = torch.load(TINY / f"{dialect}.pth", weights_only=True)[level]
    assert list(written) == list(expected)
    for key, tensor in expected.items():
        assert written[key].dtype == tensor.dtype, key
        assert torch.equal(written[key], tensor), key


@lru_cache(maxsize=1)  # the tests of both dialects of timm share a checkpoint
def full_size(variant, image_size, num_classifiers, num_labels):
    """Checkpoint of a published size with random weights, an image, and its logits by the reference."""
    architecture = ALL_VARIANTS[variant].architecture(
        image_size=image_size, num_classifiers=num_classifiers, num_labels=num_labels
    )
    checkpoint = random_checkpoint(architecture)
    images = np.random.default_rng(0).standard_normal((1, 3, image_size, image_size), np.float32)
    return checkpoint, images, run_reference(checkpoint.weights, architecture, images)["logits"]


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_transformers_loads_the_written_folder(tmp_path, variant):
    checkpoint, images, expected = full_size(variant, 224, num_classifiers=2, num_labels=1000)
    write_checkpoint(checkpoint, tmp_path, to="transformers")
    model, report = transformers.LevitForImageClassificationWithTeacher.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    assert processor.size.shortest_edge == 224
    assert relative(model.eval()(torch.from_numpy(images)).logits.numpy(), expected) < 1e-5


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("dialect", ["timm", "timm-conv"])
@pytest.mark.parametrize("variant", ALL_VARIANTS)
def test_timm_loads_the_written_folder(tmp_path, variant, dialect):
    """Half of the published image size, which has grids of odd sides, too, and is faster to compute."""
    timm = pytest.importorskip("timm")
    heads = 1 if variant in TIMM_VARIANTS and variant != "levit-384-s8" else 2
    checkpoint, images, expected = full_size(variant, 112, num_classifiers=heads, num_labels=12)
    write_checkpoint(checkpoint, tmp_path, to=dialect)
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert relative(model(torch.from_numpy(images)).numpy(), expected) < 1e-5
    again = read_checkpoint(tmp_path)
    assert again.architecture == checkpoint.architecture
    assert again.labels == checkpoint.labels


def test_preprocessing_is_kept_in_transformers_and_timm(tmp_path):
    for dialect in ("transformers", "timm"):
        path = convert(TINY / "transformers", tmp_path / dialect, to=dialect)
        assert read_checkpoint(path).preprocessing == read_checkpoint(TINY / "transformers").preprocessing


def test_the_multi_label_flag_is_kept(tmp_path):
    checkpoint = replace(read_checkpoint(TINY / "transformers"), is_multi_label=True)
    assert read_checkpoint(write_checkpoint(checkpoint, tmp_path / "timm", to="timm")).is_multi_label
    with pytest.warns(LevitWarning, match="cannot mark a multi-label classifier"):
        write_checkpoint(checkpoint, tmp_path / "out.pth", to="facebook")
    write_checkpoint(checkpoint, tmp_path)
    assert read_checkpoint(tmp_path).is_multi_label
    network = transformers.LevitForImageClassificationWithTeacher.from_pretrained(tmp_path)
    assert network.config.problem_type == levit.load_checkpoint(tmp_path).config.problem_type is not None
    assert checkpoint_from_model(network).is_multi_label
    with pytest.warns(LevitWarning, match="newly initialized"):
        assert levit.load_checkpoint(tmp_path, num_labels=3).config.problem_type == network.config.problem_type


def test_activation_and_image_size_can_be_given(tmp_path):
    path = convert(TINY / "facebook.pth", tmp_path / "out", to="timm", activation="silu", image_size=(110, 105))
    architecture = read_checkpoint(path).architecture
    assert architecture.activation == "silu"
    assert architecture.image_height_width == (110, 105)
    with pytest.raises(ConfigError, match="image_size: 64 gives 4x4 tokens"):
        convert(TINY / "facebook.pth", tmp_path / "other", to="timm", image_size=64)


def test_class_names_are_kept_in_files_of_mmpretrain(tmp_path):
    names = tuple(f"kind {number}" for number in range(10))
    checkpoint = replace(read_checkpoint(TINY / "transformers"), labels=names)
    write_checkpoint(checkpoint, tmp_path / "out.pth", to="mmpretrain")
    assert read_checkpoint(tmp_path / "out.pth").labels == names
    content = torch.load(tmp_path / "out.pth", weights_only=True)
    assert content["meta"] == {"dataset_meta": {"classes": list(names)}}


def test_files_of_mmpretrain_have_no_dataset_meta_without_class_names(tmp_path):
    """With an empty `dataset_meta`, mmpretrain would not read the names in its own configuration."""
    convert(TINY / "transformers", tmp_path / "out.pth", to="mmpretrain")
    assert torch.load(tmp_path / "out.pth", weights_only=True)["meta"] == {}


def test_a_wrong_number_of_class_names_is_a_warning(tmp_path):
    content = torch.load(TINY / "mmpretrain.pth", weights_only=True)
    torch.save(content | {"meta": {"CLASSES": ["cat", "dog"]}}, tmp_path / "mm.pth")
    with pytest.warns(LevitWarning, match=r"mm\.pth: its meta data name 2 classes, but the head has 10"):
        labels = read_checkpoint(tmp_path / "mm.pth").labels
    assert labels == read_checkpoint(TINY / "mmpretrain.pth").labels


def test_a_backbone_has_no_class_names(tmp_path):
    weights = torch.load(TINY / "mmpretrain.pth", weights_only=True)["state_dict"]
    backbone = {key: tensor for key, tensor in weights.items() if key.startswith("backbone.")}
    torch.save({"meta": {"CLASSES": ["cat", "dog"]}, "state_dict": backbone}, tmp_path / "mm.pth")
    assert read_checkpoint(tmp_path / "mm.pth").labels == ()


def test_safetensors_need_no_torch(tmp_path):
    path = tmp_path / "weights.safetensors"
    program = f"""
import sys
sys.modules["torch"] = None
import levit
levit.convert({str(TINY / "transformers")!r}, {str(path)!r}, to="facebook-conv")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert read_checkpoint(path).source.dialect == "facebook-conv"


def test_an_existing_folder_keeps_its_other_files(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    convert(TINY / "timm", tmp_path, to="transformers")
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "config.json",
        "model.safetensors",
        "notes.txt",
        "preprocessor_config.json",
    ]


@pytest.mark.parametrize(
    ("name", "to", "match"),
    [
        ("out", "keras", "to: unknown format 'keras': use transformers, timm"),
        ("out", "facebook", "ends in .pth"),
        ("out.pth", "timm", "give a folder"),
        ("out.safetensors", "transformers", "give a folder"),
        ("file/out", "timm", "cannot be written"),
    ],
)
def test_an_invalid_target_is_an_error_of_one_line(tmp_path, name, to, match):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=match) as caught:
        convert(TINY / "transformers", tmp_path / name, to=to)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_levit_loads_the_written_folder(tmp_path):
    convert(TINY / "facebook.pth", tmp_path, to="transformers")
    model = levit.LevitForImageClassificationWithTeacher.from_pretrained(tmp_path)
    original = levit.load_checkpoint(TINY / "facebook.pth").eval()
    pixel_values = torch.from_numpy(np.load(TINY / "input.npy"))
    with torch.no_grad():
        logits = model(pixel_values).logits
        assert torch.equal(logits, original(pixel_values).logits)
    assert agrees(logits, EXPECTED["logits"])


@pytest.mark.parametrize("target", [".", "model.safetensors"])
def test_the_source_is_not_overwritten(tmp_path, target):
    shutil.copytree(TINY / "transformers", tmp_path, dirs_exist_ok=True)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="the target is the source"):
        convert(tmp_path, tmp_path / target, to="facebook" if target != "." else "timm")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(("to", "name"), [("facebook", "out.pth"), ("mmpretrain", "out.safetensors")])
def test_class_names_that_a_file_cannot_contain_are_a_warning(tmp_path, to, name):
    checkpoint = replace(read_checkpoint(TINY / "transformers"), labels=tuple(f"kind {number}" for number in range(10)))
    with pytest.warns(LevitWarning, match=r"cannot contain the names of the 10 classes \(kind 0, …\)"):
        write_checkpoint(checkpoint, tmp_path / name, to=to)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_configuration_and_weights_have_the_same_permissions(tmp_path):
    folder = convert(TINY / "facebook.pth", tmp_path / "out", to="timm")
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1
