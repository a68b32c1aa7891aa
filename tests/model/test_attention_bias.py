import numpy as np
import pytest

from levit.model.attention_bias import offset_table
from levit.spec.network import attention_blocks
from levit.spec.variants import VARIANTS


def test_offsets_of_subsampled_queries():
    """First two rows of the second query, 7x7 -> 4x4 tokens: golden/behaviours.json."""
    assert offset_table((7, 7), 2)[1, :14].tolist() == [2, 1, 0, 1, 2, 3, 4, 9, 8, 7, 8, 9, 10, 11]


@pytest.mark.parametrize("name", VARIANTS)
def test_offsets_equal_those_of_the_specification(name):
    for block in attention_blocks(VARIANTS[name].architecture()):
        assert np.array_equal(offset_table(block.input_grid, block.stride), block.offset_table()), block.name
