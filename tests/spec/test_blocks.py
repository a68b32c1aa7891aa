import json

import pytest

from levit.spec.blocks import count_flops, encoder_blocks
from levit.spec.variants import VARIANTS
from tests.conftest import GOLDEN

COUNTS = json.loads((GOLDEN / "params_flops.json").read_text())


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("num_classifiers", "heads"), [(2, "two_heads"), (1, "single_head")])
def test_multiply_adds_equal_those_of_the_paper_s_code(name, num_classifiers, heads):
    architecture = VARIANTS[name].architecture(num_classifiers=num_classifiers)
    assert count_flops(architecture) == COUNTS[name.replace("-", "_")][f"flops_{heads}"]


def test_block_names_are_unique_and_readable():
    names = [block.name for block in encoder_blocks(VARIANTS["levit-128s"].architecture())]
    assert len(set(names)) == len(names) == 22
    assert names[4:7] == ["stage1.downsample.attention", "stage1.downsample.mlp", "stage2.block1.attention"]
