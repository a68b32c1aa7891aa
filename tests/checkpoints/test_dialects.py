import json
from itertools import product

import pytest

from levit.checkpoints.dialects import DIALECTS, OFFSETS, TRANSFORMERS, WRITABLE, translate
from levit.spec.variants import VARIANTS
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


def test_keys_correspond_as_the_golden_map_says():
    shapes = golden_shapes("facebook", "levit-128s")
    names = translate(shapes, BY_NAME["facebook"], TRANSFORMERS)
    assert names["blocks.4.q.1.c.weight"] == "levit.encoder.stages.0.layers.4.queries.linear.weight"
    assert names["blocks.5.m.2.bn.bias"] == "levit.encoder.stages.0.layers.5.module.linear_down.batch_norm.bias"
    to_mmpretrain = translate(shapes, BY_NAME["facebook"], BY_NAME["mmpretrain"])
    assert to_mmpretrain["blocks.6.m.qkv.c.weight"] == "backbone.stages.1.2.block.qkv.linear.weight"
