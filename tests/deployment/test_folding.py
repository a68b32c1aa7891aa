import numpy as np
import pytest

from levit.checkpoints.reading import read_checkpoint
from levit.deployment.folding import fold
from levit.deployment.reference import _Network, run_reference
from levit.spec.blocks import AttentionBlock
from tests.conftest import GOLDEN, relative
from tests.deployment.folded_network import FoldedNetwork

IMAGES = np.load(GOLDEN / "tiny" / "input.npy")


@pytest.mark.parametrize("name", ["transformers", "transformers-single"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_folded_weights_give_the_logits_of_the_reference(name, dtype, tolerance):
    checkpoint = read_checkpoint(GOLDEN / "tiny" / name)
    expected = run_reference(checkpoint.weights, checkpoint.architecture, IMAGES)["logits"]
    folded = fold(checkpoint.weights, checkpoint.architecture)
    assert relative(FoldedNetwork(folded, checkpoint.architecture, dtype)(IMAGES), expected) < tolerance


def test_folded_weights_have_no_batch_norm_and_one_head():
    checkpoint = read_checkpoint(GOLDEN / "tiny" / "transformers")
    folded = fold(checkpoint.weights, checkpoint.architecture)
    kinds = {name.rpartition(".")[2] for name in folded}
    assert kinds == {"weight", "bias", "attention_bias"}
    assert [name for name in folded if name.startswith("head")] == ["head.weight", "head.bias"]


def test_folding_does_not_change_its_input():
    checkpoint = read_checkpoint(GOLDEN / "tiny" / "transformers")
    before = {name: array.copy() for name, array in checkpoint.weights.items()}
    fold(checkpoint.weights, checkpoint.architecture)
    assert all(np.array_equal(before[name], array) for name, array in checkpoint.weights.items())


@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (7, 7), (3, 5), (6, 1)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_offset_tables_equal_the_enumeration_of_the_reference(grid, stride):
    block = AttentionBlock(
        key="",
        name="",
        input_width=1,
        output_width=1,
        num_heads=1,
        key_dim=1,
        value_dim=1,
        input_grid=grid,
        output_grid=(-(-grid[0] // stride), -(-grid[1] // stride)),
        stride=stride,
        is_residual=False,
    )
    queries = [(row, column) for row in range(0, grid[0], stride) for column in range(0, grid[1], stride)]
    assert np.array_equal(block.offset_table(), _Network.offsets(queries, grid))
