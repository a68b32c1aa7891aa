from itertools import product

import numpy as np
import pytest
import torch

from levit.checkpoints.architecture_inference import infer_architecture
from levit.checkpoints.dialect_detection import detect_dialect
from levit.checkpoints.dialects import BATCH_COUNT, WRITABLE
from levit.checkpoints.json_files import read_json
from levit.checkpoints.reading import assemble_checkpoint, read_checkpoint
from levit.checkpoints.weight_files import StoredWeights, read_weight_file
from levit.errors import CheckpointError
from levit.spec.network import weight_shapes
from levit.spec.variants import ALL_VARIANTS, TIMM_VARIANTS, VARIANTS
from tests.checkpoints.golden_keys import DIALECTS_BY_NAME, golden_shapes
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny"


@pytest.mark.parametrize(
    ("dialect", "variant"),
    [*product([dialect.name for dialect in WRITABLE], VARIANTS), *product(["timm", "timm-conv"], TIMM_VARIANTS)],
)
def test_dialect_and_architecture_are_detected_by_the_keys(dialect, variant):
    shapes = golden_shapes(dialect, variant)
    detected = detect_dialect(shapes, "file")
    assert detected.dialect.name == dialect
    assert detected.missing == ()
    canonical = {name: shapes[key] for key, name in detected.canonical_names.items()}
    linear = {name: shape[:2] if ".linear.weight" in name else shape for name, shape in canonical.items()}
    architecture = infer_architecture(linear, "file")
    heads = 2 if "classifier_distill.linear.weight" in canonical else 1
    assert architecture == ALL_VARIANTS[variant].architecture(num_classifiers=heads)
    assert linear == {
        name: shape for name, shape in weight_shapes(architecture).items() if detected.dialect.stores(name)
    }


@pytest.mark.parametrize("dialect", ["transformers", "mmpretrain"])
def test_a_backbone_alone_is_detected(dialect):
    prefix = DIALECTS_BY_NAME[dialect].prefix
    shapes = golden_shapes(dialect, "levit-128s")
    backbone = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    detected = detect_dialect(backbone, "file")
    assert detected.dialect == DIALECTS_BY_NAME[dialect]
    assert set(detected.canonical_names.values()) == {
        name for name in golden_shapes("transformers", "levit-128s") if "classifier" not in name
    }


def test_a_fused_file_of_convolutions_is_detected_and_has_the_weights_of_linear_layers(tmp_path):
    weights = torch.load(TINY / "facebook-fused.pth", weights_only=True)["model"]
    is_linear = {key: key.startswith("blocks.") and key.endswith(".weight") for key in weights}
    convolutions = {key: array[..., None, None] if is_linear[key] else array for key, array in weights.items()}
    torch.save({"model": convolutions}, tmp_path / "fused.pth")
    checkpoint, expected = read_checkpoint(tmp_path / "fused.pth"), read_checkpoint(TINY / "facebook-fused.pth")
    assert (checkpoint.source.dialect, expected.source.dialect) == ("facebook-conv-fused", "facebook-fused")
    assert checkpoint.architecture == expected.architecture
    assert checkpoint.weights.keys() == expected.weights.keys()
    assert all(np.array_equal(array, checkpoint.weights[name]) for name, array in expected.weights.items())


def test_an_unknown_key_keeps_its_name():
    shapes = golden_shapes("timm", "levit-128s") | {"extra.step": ()}
    assert detect_dialect(shapes, "file").canonical_names["extra.step"] == "extra.step"


def test_the_keys_of_another_network_are_an_error():
    with pytest.raises(CheckpointError, match=r"^bert\.pth: not the keys of a LeViT .*embeddings\.weight"):
        detect_dialect({"embeddings.weight": (2, 2)}, "bert.pth")
    with pytest.raises(CheckpointError, match="none at all"):
        detect_dialect({}, "empty.pth")
    # The head of a LeViT has the same keys as that of every other network of timm.
    with pytest.raises(CheckpointError, match="not the keys of a LeViT"):
        detect_dialect({"head.weight": (5, 7), "head.bias": (5,), "blocks.0.attn.qkv.weight": (21, 7)}, "vit.pth")


FILES = [
    "facebook.pth",
    "facebook-conv.pth",
    "facebook-fused.pth",
    "mmpretrain.pth",
    "mmpretrain-flat.pth",
    "mmpretrain-deploy.pth",
    "timm/model.safetensors",
    "timm-conv/model.safetensors",
    "transformers/model.safetensors",
    "transformers-single/model.safetensors",
    "transformers-legacy/model.safetensors",
    "transformers-legacy/pytorch_model.bin",
]


@pytest.mark.parametrize(
    ("file", "has_configuration"),
    [
        pytest.param(file, has_configuration, marks=() if file == "facebook.pth" else pytest.mark.slow)
        for file in FILES
        for has_configuration in ((True, False) if "/" in file else (False,))
    ],
)
def test_each_missing_key_of_a_file_is_named(file, has_configuration):
    config = read_json((TINY / file).with_name("config.json")) if has_configuration else {}
    arrays = read_weight_file(TINY / file).arrays
    names = detect_dialect({key: array.shape for key, array in arrays.items()}, file).canonical_names
    for key, name in names.items():
        if name.endswith(BATCH_COUNT):  # torch does not need it
            continue
        incomplete = StoredWeights(arrays={other: arrays[other] for other in arrays if other != key}, class_names=None)
        with pytest.raises(CheckpointError, match=r"1 missing \(") as caught:
            assemble_checkpoint(incomplete, config, {}, "file")
        assert f"({key})" in str(caught.value) or f"({name})" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_many_missing_keys_are_counted_and_the_first_ones_named():
    shapes = {key: shape for key, shape in golden_shapes("timm", "levit-128s").items() if not key.endswith("bn.bias")}
    with pytest.raises(CheckpointError, match=r"^x: an incomplete LeViT of timm, \d\d missing \(stem\..*, …\): down"):
        detect_dialect(shapes, "x").check_complete("x")
