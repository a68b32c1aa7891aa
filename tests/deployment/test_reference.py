import numpy as np
import pytest

from levit.checkpoints.reading import read_checkpoint
from levit.deployment.reference import run_reference
from tests.conftest import GOLDEN, relative

EXPECTED = np.load(GOLDEN / "tiny" / "expected.npz")
IMAGES = np.load(GOLDEN / "tiny" / "input.npy")


@pytest.fixture(scope="module")
def outputs():
    checkpoint = read_checkpoint(GOLDEN / "tiny" / "transformers")
    return run_reference(checkpoint.weights, checkpoint.architecture, IMAGES)


@pytest.mark.parametrize(
    ("name", "golden"),
    [
        ("logits", "logits_f64"),
        ("classifier", "cls_logits_f64"),
        ("classifier_distill", "distillation_logits_f64"),
        ("pooler_output", "pooled_output_f64"),
    ],
)
def test_logits_equal_the_double_precision_golden_values(outputs, name, golden):
    assert relative(outputs[name], EXPECTED[golden]) < 1e-10


def test_every_block_equals_the_single_precision_golden_values(outputs):
    """Blocks are compared in order, so that the first wrong one is reported."""
    blocks = [name for name in outputs if name.startswith("levit.encoder")]
    assert len(blocks) == 12
    for index, name in enumerate(blocks):
        np.testing.assert_allclose(outputs[name], EXPECTED[f"block_{index}"], atol=1e-4, err_msg=name)
    tokens = EXPECTED["patch_embed"].reshape(2, 32, 49).transpose(0, 2, 1)
    np.testing.assert_allclose(outputs["stem"], tokens, atol=1e-4)
    np.testing.assert_allclose(outputs["last_hidden_state"], EXPECTED["last_hidden_state"], atol=1e-4)


def test_a_network_with_one_head_gives_the_logits_of_the_first_head():
    checkpoint = read_checkpoint(GOLDEN / "tiny" / "transformers-single")
    outputs = run_reference(checkpoint.weights, checkpoint.architecture, IMAGES)
    assert relative(outputs["logits"], EXPECTED["cls_logits_f64"]) < 1e-10
    assert "classifier_distill" not in outputs
