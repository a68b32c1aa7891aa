import shutil
from itertools import product

import pytest

from levit.checkpoints import reading
from levit.checkpoints.architecture_inference import architecture_from_shapes
from levit.checkpoints.dialect_detection import recognize
from levit.checkpoints.dialects import WRITABLE
from levit.checkpoints.weight_files import Stored, read_stored
from levit.errors import CheckpointError
from levit.spec.blocks import weight_shapes
from levit.spec.variants import ALL_VARIANTS, TIMM_VARIANTS, VARIANTS
from tests.checkpoints.test_dialects import BY_NAME, golden_shapes
from tests.conftest import GOLDEN

TINY = GOLDEN / "tiny"


@pytest.mark.parametrize(
    ("dialect", "variant"),
    [*product([one.name for one in WRITABLE], VARIANTS), *product(["timm", "timm-conv"], TIMM_VARIANTS)],
)
def test_the_dialect_and_the_network_are_found_out_from_the_keys(dialect, variant):
    shapes = golden_shapes(dialect, variant)
    found = recognize(shapes, "file")
    assert found.dialect.name == dialect
    assert found.missing == ()
    canonical = {name: shapes[key] for key, name in found.names.items()}
    linear = {name: shape[:2] if ".linear.weight" in name else shape for name, shape in canonical.items()}
    architecture = architecture_from_shapes(linear, "file")
    heads = 2 if "classifier_distill.linear.weight" in canonical else 1
    assert architecture == ALL_VARIANTS[variant].architecture(num_classifiers=heads)
    assert linear == weight_shapes(architecture)


@pytest.mark.parametrize("dialect", ["transformers", "mmpretrain"])
def test_a_backbone_alone_is_recognized(dialect):
    prefix = BY_NAME[dialect].prefix
    shapes = golden_shapes(dialect, "levit-128s")
    backbone = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    found = recognize(backbone, "file")
    assert found.dialect == BY_NAME[dialect]
    assert set(found.names.values()) == {
        name for name in golden_shapes("transformers", "levit-128s") if "classifier" not in name
    }


def test_a_key_that_no_table_knows_keeps_its_name():
    shapes = golden_shapes("timm", "levit-128s") | {"extra.step": ()}
    assert recognize(shapes, "file").names["extra.step"] == "extra.step"


def test_other_networks_are_refused_by_name():
    with pytest.raises(CheckpointError, match=r"^bert\.pth: not the keys of a LeViT .*embeddings\.weight"):
        recognize({"embeddings.weight": (2, 2)}, "bert.pth")
    with pytest.raises(CheckpointError, match="none at all"):
        recognize({}, "empty.pth")
    # A head of a LeViT has these names, and so has that of every other network of timm.
    with pytest.raises(CheckpointError, match="not the keys of a LeViT"):
        recognize({"head.weight": (5, 7), "head.bias": (5,), "blocks.0.attn.qkv.weight": (21, 7)}, "vit.pth")


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
        pytest.param(file, has, marks=() if file == "facebook.pth" else pytest.mark.slow)
        for file in FILES
        for has in ((True, False) if "/" in file else (False,))
    ],
)
def test_reading_a_file_without_any_one_of_its_keys_names_that_key(tmp_path, monkeypatch, file, has_configuration):
    config, target = (TINY / file).with_name("config.json"), tmp_path / "file"
    if has_configuration:
        shutil.copy(config, tmp_path)
    target.touch()
    arrays = read_stored(TINY / file).arrays
    names = recognize({key: array.shape for key, array in arrays.items()}, file).names
    for key, name in names.items():
        rest = {other: array for other, array in arrays.items() if other != key}
        monkeypatch.setattr(reading, "read_stored", lambda *_, rest=rest, **__: Stored(arrays=rest, class_names=None))
        with pytest.raises(CheckpointError, match=r"1 missing \(") as caught:
            reading.read_checkpoint(target)
        assert f"({key})" in str(caught.value) or f"({name})" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_many_missing_keys_are_counted_and_the_first_are_named():
    shapes = {key: shape for key, shape in golden_shapes("timm", "levit-128s").items() if not key.endswith("bn.bias")}
    with pytest.raises(CheckpointError, match=r"^x: an incomplete LeViT of timm, \d\d missing \(stem\..*, …\): fetch"):
        recognize(shapes, "x").check_complete("x")
