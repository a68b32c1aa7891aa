import json

import pytest

from levit.spec.network import count_flops, count_parameters, encoder_blocks, is_statistic, weight_shapes
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


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("num_classifiers", "heads"), [(2, "two_heads"), (1, "single_head")])
def test_parameter_counts_equal_those_of_the_paper_s_code(name, num_classifiers, heads):
    architecture = VARIANTS[name].architecture(num_classifiers=num_classifiers)
    assert count_parameters(architecture) == COUNTS[name.replace("-", "_")][f"params_{heads}"]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("num_classifiers", "dialect"), [(2, "transformers"), (1, "transformers-single")])
def test_names_shapes_and_order_are_those_of_transformers(name, num_classifiers, dialect):
    golden = json.loads((GOLDEN / "keys" / f"{dialect}-{name.removeprefix('levit-')}.json").read_text())
    shapes = weight_shapes(VARIANTS[name].architecture(num_classifiers=num_classifiers))
    assert list(shapes.items()) == [(key, tuple(shape)) for key, (shape, _) in golden.items()]


def test_levit_128s_has_52_batch_norms_and_5314_attention_biases():
    shapes = weight_shapes(VARIANTS["levit-128s"].architecture())
    assert sum(name.endswith("running_mean") for name in shapes) == COUNTS["levit_128s"]["batchnorm_layers_two_heads"]
    biases = [shape for name, shape in shapes.items() if name.endswith("attention_biases")]
    assert sum(heads * offsets for heads, offsets in biases) == COUNTS["levit_128s"]["attention_bias_params"]


def test_running_statistics_are_not_parameters():
    assert is_statistic("classifier.batch_norm.running_var")
    assert not is_statistic("classifier.batch_norm.weight")
