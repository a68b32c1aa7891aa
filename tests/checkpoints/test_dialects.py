import json
from itertools import product

import pytest

from levit.checkpoints.dialects import DIALECTS, OFFSETS, TRANSFORMERS, WRITABLE, find_dialect, translate
from levit.checkpoints.shapes import architecture_from_shapes
from levit.errors import CheckpointError
from levit.spec.blocks import weight_shapes
from levit.spec.variants import ALL_VARIANTS, TIMM_VARIANTS, VARIANTS
from tests.conftest import GOLDEN

BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


def golden_shapes(dialect, variant):
    """Key -> shape of a library's network, in the order of its state dict."""
    name = variant.removeprefix("levit-").replace("-", "_")
    entries = json.loads((GOLDEN / "keys" / f"{dialect}-{name}.json").read_text())
    return {key: tuple(shape) for key, (shape, _) in entries.items()}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("source", "target"), list(product([one.name for one in WRITABLE], repeat=2)))
def test_every_key_of_every_library_has_its_counterpart_in_the_same_order(variant, source, target):
    keys, expected = golden_shapes(source, variant), golden_shapes(target, variant)
    names = translate(keys, BY_NAME[source], BY_NAME[target])
    without_offsets = [key for key in keys if not key.endswith(OFFSETS)]
    assert [names[key] for key in without_offsets] == [key for key in expected if not key.endswith(OFFSETS)]


@pytest.mark.parametrize(
    ("dialect", "variant"),
    [*product([one.name for one in WRITABLE], VARIANTS), *product(["timm", "timm-conv"], TIMM_VARIANTS)],
)
def test_the_dialect_and_the_network_are_found_out_from_the_keys(dialect, variant):
    shapes = golden_shapes(dialect, variant)
    found, names = find_dialect(shapes, "file")
    assert found.name == dialect
    canonical = {name: shapes[key] for key, name in names.items()}
    linear = {name: shape[:2] if ".linear.weight" in name else shape for name, shape in canonical.items()}
    architecture = architecture_from_shapes(linear, "file")
    heads = 2 if "classifier_distill.linear.weight" in canonical else 1
    assert architecture == ALL_VARIANTS[variant].architecture(num_classifiers=heads)
    assert linear == weight_shapes(architecture)


def test_keys_correspond_as_the_golden_map_says():
    shapes = golden_shapes("facebook", "levit-128s")
    names = translate(shapes, BY_NAME["facebook"], TRANSFORMERS)
    assert names["blocks.4.q.1.c.weight"] == "levit.encoder.stages.0.layers.4.queries.linear.weight"
    assert names["blocks.5.m.2.bn.bias"] == "levit.encoder.stages.0.layers.5.module.linear_down.batch_norm.bias"
    to_mmpretrain = translate(shapes, BY_NAME["facebook"], BY_NAME["mmpretrain"])
    assert to_mmpretrain["blocks.6.m.qkv.c.weight"] == "backbone.stages.1.2.block.qkv.linear.weight"


@pytest.mark.parametrize("dialect", [one.name for one in WRITABLE])
def test_what_data_parallel_training_puts_before_every_key_is_passed_over(dialect):
    shapes = golden_shapes(dialect, "levit-128s")
    found, names = find_dialect({f"module.{key}": shape for key, shape in shapes.items()}, "file")
    assert found.name == dialect
    assert len(names) == 325
    assert all(key.startswith("module.") for key in names)


@pytest.mark.parametrize("dialect", ["transformers", "mmpretrain"])
def test_a_backbone_alone_is_recognised(dialect):
    prefix = BY_NAME[dialect].prefix
    shapes = golden_shapes(dialect, "levit-128s")
    backbone = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
    found, names = find_dialect(backbone, "file")
    assert found.name == dialect
    assert set(names.values()) == {
        name for name in golden_shapes("transformers", "levit-128s") if "classifier" not in name
    }


def test_a_key_that_no_table_knows_keeps_its_name():
    shapes = golden_shapes("timm", "levit-128s") | {"ema.step": ()}
    assert find_dialect(shapes, "file")[1]["ema.step"] == "ema.step"


def test_other_networks_are_refused_by_name():
    with pytest.raises(CheckpointError, match=r"^bert\.pth: not the keys of a LeViT .*embeddings\.weight"):
        find_dialect({"embeddings.weight": (2, 2)}, "bert.pth")
    with pytest.raises(CheckpointError, match="none at all"):
        find_dialect({}, "empty.pth")
