from itertools import product

import pytest

from levit.checkpoints.dialects import BATCH_COUNT, OFFSETS, TRANSFORMERS, WRITABLE
from levit.checkpoints.key_translation import translate_keys
from levit.spec.variants import VARIANTS
from tests.checkpoints.golden_keys import DIALECTS_BY_NAME, golden_shapes


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("source", "target"), list(product([dialect.name for dialect in WRITABLE], repeat=2)))
def test_every_key_of_every_library_is_translated_in_the_order_of_the_target(variant, source, target):
    keys, expected = golden_shapes(source, variant), golden_shapes(target, variant)
    names = translate_keys(keys, DIALECTS_BY_NAME[source], DIALECTS_BY_NAME[target])
    # Offsets are derived, and MindSpore's batch norms do not count batches.
    have_counts = DIALECTS_BY_NAME[source].counts_batches and DIALECTS_BY_NAME[target].counts_batches
    left_out = (OFFSETS,) if have_counts else (OFFSETS, BATCH_COUNT)
    translated = [names[key] for key in keys if not key.endswith(left_out)]
    assert translated == [key for key in expected if not key.endswith(left_out)]


def test_known_keys_are_translated():
    shapes = golden_shapes("facebook", "levit-128s")
    names = translate_keys(shapes, DIALECTS_BY_NAME["facebook"], TRANSFORMERS)
    assert names["blocks.4.q.1.c.weight"] == "levit.encoder.stages.0.layers.4.queries.linear.weight"
    assert names["blocks.5.m.2.bn.bias"] == "levit.encoder.stages.0.layers.5.module.linear_down.batch_norm.bias"
    to_mmpretrain = translate_keys(shapes, DIALECTS_BY_NAME["facebook"], DIALECTS_BY_NAME["mmpretrain"])
    assert to_mmpretrain["blocks.6.m.qkv.c.weight"] == "backbone.stages.1.2.block.qkv.linear.weight"
