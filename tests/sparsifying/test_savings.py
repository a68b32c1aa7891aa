import numpy as np

from levit.checkpoints.attention_masks import mask_shapes
from levit.sparsifying.savings import count_savings
from levit.spec.network import count_flops, encoder_blocks
from levit.spec.variants import find_variant

ARCHITECTURE = find_variant("levit-128s").architecture()


def test_the_costs_of_attention_are_those_of_the_paper_without_the_linear_layers():
    masks = {name: np.ones(shape, bool) for name, shape in mask_shapes(ARCHITECTURE).items()}
    savings = count_savings(ARCHITECTURE, masks)
    first = next(iter(encoder_blocks(ARCHITECTURE)))
    linear = 196 * (128 * 4 * (16 + 16 + 32) + 4 * 32 * 128)  # queries, keys, values; projection
    assert savings.layers[0].flops == savings.layers[0].kept_flops == first.flops() - linear
    assert savings.network_flops == count_flops(ARCHITECTURE)
    assert savings.total("num_bytes") == 2 * sum(mask.size for mask in masks.values())


def test_removed_entries_are_counted_by_head():
    masks = {name: np.ones(shape, bool) for name, shape in mask_shapes(ARCHITECTURE).items()}
    first = next(iter(masks.values()))
    first[0, :, 49:] = False  # three quarters of one of four heads
    savings = count_savings(ARCHITECTURE, masks)
    layer = savings.layers[0]
    assert (layer.head_sparsity, layer.sparsity) == ((0.75, 0, 0, 0), 0.1875)
    assert layer.kept_flops == layer.flops * 13 // 16
    assert layer.kept_bytes == 2 * int(first.sum()) + 4 * 196 * 25  # a bitmap of 196 bits is 25 bytes
    total = sum(mask.size for mask in masks.values())
    np.testing.assert_allclose(savings.sparsity, 196 * 147 / total)
